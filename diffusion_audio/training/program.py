"""What a compiled program costs: operations, memory and traffic between devices.

Read from XLA's own analysis and from the text of the program that runs, which is that
of one device: what it holds and sends, not what all of them do together.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from jax.stages import Compiled

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
# An instruction's shape, then its name. What is started and awaited counts where it is
# awaited: that shape is the result's alone.
_COLLECTIVE = re.compile(rf" = (.+?) ({'|'.join(KINDS)})(?:-done)?\(")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(
    r"(?:to_apply|body|calls|\w+_computations?)=(?:\{([^}]*)\}|%?([\w.-]+))"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


class Collective(NamedTuple):
    """An exchange between devices.

    Attributes:
        kind: one of ``KINDS``.
        devices: that take part in it together.
        bytes: of its result, on one device.
        times: how often a run of the program comes to it; a loop of a length that the
            compiler does not know counts once.
    """

    kind: str
    devices: int
    bytes: int
    times: int = 1

    @property
    def sent(self) -> float:
        """Bytes that a device sends in all, by the ring algorithm (Patarasuk 2009)."""
        share = (self.devices - 1) / self.devices
        factors = {"all-reduce": 2 * share, "reduce-scatter": self.devices - 1}
        once = self.bytes * factors.get(self.kind, share)
        return self.times * (self.bytes if self.kind == "collective-permute" else once)


class Program(NamedTuple):
    """What one run of a program costs one device.

    Attributes:
        flops: floating-point operations, a loop's body counted once.
        traffic: bytes that its instructions read and write.
        arguments: bytes given to it.
        outputs: bytes it returns.
        reused: bytes of the outputs that lie where arguments lay (donated).
        temporaries: bytes beside these while it runs.
        collectives: in the order of the text.
    """

    flops: float
    traffic: float
    arguments: int
    outputs: int
    reused: int
    temporaries: int
    collectives: tuple[Collective, ...]

    @property
    def memory(self) -> int:
        """Bytes that a device needs while it runs."""
        return self.arguments + self.outputs - self.reused + self.temporaries


def read(compiled: Compiled) -> Program:
    """What the compiler says of a program, and what it will exchange."""
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    assert cost is not None
    assert memory is not None  # as of backends that say nothing
    return Program(
        flops=cost.get("flops", 0.0),
        traffic=cost.get("bytes accessed", 0.0),
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        reused=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        collectives=collectives(compiled.as_text() or ""),
    )


def collectives(text: str) -> tuple[Collective, ...]:
    """The collectives of a program, from its text in HLO."""
    bodies: dict[str, list[str]] = {}
    entry = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            bodies[header[2]] = lines = []
            entry = header[2] if header[1] else entry
        elif bodies:
            lines.append(line)
    devices = re.search(r"(?:num_partitions|replica_count)=(\d+)", text)
    every = int(devices[1]) if devices else 1
    return tuple(_found(bodies, entry, 1, every))


def _found(
    bodies: dict[str, list[str]], name: str, times: int, every: int
) -> Iterator[Collective]:
    """Those of a computation and of the computations that it calls."""
    for line in bodies.get(name, ()):
        if match := _COLLECTIVE.search(line):
            size = sum(_bytes(*shape) for shape in _SHAPE.findall(match[1]))
            yield Collective(match[2], _group(line, every), size, times)
            continue
        trips = _TRIPS.search(line)
        for several, one in _CALLED.findall(line):
            for called in several.split(",") if several else [one]:
                inner = times * (int(trips[1]) if trips else 1)
                yield from _found(bodies, called.strip(" %"), inner, every)


def _group(line: str, every: int) -> int:
    """How many devices exchange with each other."""
    if "source_target_pairs=" in line:
        return 2
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
        return int(iota[1])
    groups = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    return len(groups[1].split(",")) if groups else every


def _bytes(kind: str, shape: str) -> int:
    digits = re.search(r"\d+", kind)
    bits = _BITS.get(kind) or (int(digits[0]) if digits else 0)
    return math.prod(map(int, filter(None, shape.split(",")))) * bits // 8
