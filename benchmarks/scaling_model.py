"""From what a step costs one chip to how many chips it scales: a model, its tables.

Facts are read of compiled programs (`benchmarks.scaling`); what is here is arithmetic
with the numbers of data sheets. No accelerator was measured.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
CHIPS = (16, 256, 4096)
USED = 0.4  # assumed share of the peak that convolutions and products of a step reach
BACKWARD = 2 / 3  # of a step, in which gradients may be sent while others are computed


@dataclass(frozen=True)
class Chip:
    """An accelerator and its network, as their makers publish them.

    Attributes:
        name: of it.
        bfloat16: FLOP/s, peak, dense.
        float32: FLOP/s of the units that take float32 by JAX's default precision.
        memory: bytes.
        bandwidth: bytes a second to its memory.
        link: bytes a second that it can send to others nearby.
        near: how many chips those links join.
        far: bytes a second that it can send beyond; 0 where ``near`` is all.
        hop: seconds that a message takes at least, assumed.
    """

    name: str
    bfloat16: float
    float32: float
    memory: float
    bandwidth: float
    link: float
    near: int
    far: float
    hop: float

    def peak(self, dtype: str) -> float:
        """FLOP/s for a compute type."""
        return self.bfloat16 if dtype == "bfloat16" else self.float32


# Cloud TPU documentation, "TPU v5p": 1,200 GB/s of links both ways together; one pass
# of bfloat16 is the default precision of float32 products there. NVIDIA H100 SXM data
# sheet: 900 GB/s of NVLink both ways in a node of 8, one 400 Gb/s adapter a GPU beyond,
# float32 products in TF32.
V5P = Chip("TPU v5p", 459e12, 459e12, 95e9, 2765e9, 600e9, 8960, 0.0, 1e-6)
H100 = Chip("H100 SXM", 989e12, 494e12, 80e9, 3350e9, 450e9, 8, 50e9, 5e-6)
ACCELERATORS = (V5P, H100)


def all_reduce(chip: Chip, chips: int, size: float) -> float:
    """Seconds to sum ``size`` bytes over all chips, where each gets the sum.

    Nearby in a ring, 2 (n - 1) / n of the bytes sent by each. Where a group of ``near``
    chips is not all, a ring over the groups for each chip's share of the bytes
    between a reduce-scatter and an all-gather in the group.
    """
    near = min(chips, chip.near)
    groups = chips // near
    seconds = 2 * (near - 1) / near * size / chip.link
    if groups > 1:
        seconds += 2 * (groups - 1) / groups * size / near / chip.far
    return seconds + 2 * chip.hop * math.log2(chips)


@dataclass(frozen=True)
class Step:
    """A step with a number of examples a chip.

    Attributes:
        compute: seconds of its FLOPs at ``USED`` of the peak.
        exchange: seconds of its all-reduce.
    """

    compute: float
    exchange: float

    @property
    def least(self) -> float:
        """Efficiency where nothing is sent while the chip computes."""
        return self.compute / (self.compute + self.exchange)

    @property
    def most(self) -> float:
        """Efficiency where all is hidden that the backward pass can hide."""
        hidden = min(self.exchange, BACKWARD * self.compute)
        return self.compute / (self.compute + self.exchange - hidden)


def step(facts: Facts, chip: Chip, chips: int, examples: int) -> Step:
    """The model of a step.

    Args:
        facts: of a recipe.
        chip: of which kind.
        chips: how many.
        examples: a chip.
    """
    flops = facts["flops_fixed"] + examples * facts["flops_per_example"]
    compute = flops / (USED * chip.peak(facts["dtype"]))
    return Step(compute, all_reduce(chip, chips, facts["gradient_bytes"]))


def enough(facts: Facts, chip: Chip, chips: int, least: float = 0.9) -> int:
    """The fewest examples a chip with which the efficiency is ``least`` or more."""
    examples = 1
    while step(facts, chip, chips, examples).least < least:
        examples += 1
    return examples


def memory(facts: Facts, fsdp: int, examples: int) -> float:
    """Bytes a chip: of the state, of gradients, and what the backward pass keeps.

    Under FSDP what a chip has of the state is an ``fsdp``-th, beside gathered
    parameters and gradients, if none of them is dropped before the last is used.
    """
    state = facts["state_bytes"] / fsdp
    whole = facts["gradient_bytes"] * (2 if fsdp > 1 else 1)
    return state + whole + examples * facts["residuals_per_example"]


def most(facts: Facts, chip: Chip, fsdp: int) -> int:
    """How many examples a chip's memory holds."""
    room = chip.memory - memory(facts, fsdp, 0)
    return max(0, int(room / facts["residuals_per_example"]))


def rewritten(page: str, every: dict[str, Facts]) -> str:
    """A page with its tables made anew, between their marks."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = page.split(start)
        _, after = rest.split(end)
        page = f"{before}{start}{table(every)}{end}{after}"
    return page


def _table(head: str, rows: Iterable[str]) -> str:
    line = "|" + "---|" * (head.count("|") - 1)
    return "\n".join(["", head, line, *rows, "", ""])


def read_table(every: dict[str, Facts]) -> str:
    """What was read of each recipe's program before compilation."""
    return _table(
        "| recipe | trained | frozen | computes in | TFLOP an example | GB kept for "
        "its backward pass | GB of state | of eight that share it, GB each |",
        (
            f"| `{recipe}` | {f['trained'] / 1e6:.2f} M | {f['frozen'] / 1e6:.2f} M | "
            f"{f['dtype']} | {f['flops_per_example'] / 1e12:.3f} | "
            f"{f['residuals_per_example'] / 1e9:.2f} | {f['state_bytes'] / 1e9:.2f} | "
            f"{f['state_bytes_of_8'] / 1e9:.2f} |"
            for recipe, f in every.items()
        ),
    )


def exchange_table(every: dict[str, Facts]) -> str:
    """What compiled programs exchange, beside theory."""
    rows = []
    for recipe, facts in every.items():
        for name, found in (facts["compiled"] or {}).items():
            for kind, size in found["bytes"].items():
                rows.append(
                    f"| `{recipe}` | {name} | {kind} | {found['counts'][kind]} | "
                    f"{size / 1e6:.2f} | {facts['gradient_bytes'] / 1e6:.2f} | "
                    f"{found['flops'] / 1e12:.3f} | {found['traffic'] / 1e9:.2f} | "
                    f"{found['temporaries'] / 1e9:.2f} |"
                )
    return _table(
        "| recipe | layout | exchange | instructions | MB of results | MB of trained "
        "parameters | TFLOP a device | GB read and written | GB beside the state |",
        rows,
    )


def model_table(every: dict[str, Facts]) -> str:
    """Efficiency by recipe, accelerator and number of chips."""
    rows = []
    for recipe, facts in every.items():
        for chip in ACCELERATORS:
            fits = most(facts, chip, 1)
            for chips in CHIPS:
                one, full = (step(facts, chip, chips, n) for n in (1, max(1, fits)))
                rows.append(
                    f"| `{recipe}` | {chip.name} | {chips:,} | "
                    f"{one.compute * 1e3:.1f} ms | {one.exchange * 1e3:.1f} ms | "
                    f"{one.least:.0%} to {one.most:.0%} | "
                    f"{enough(facts, chip, chips)} | {fits} | "
                    f"{full.least:.0%} to {full.most:.0%} |"
                )
    return _table(
        "| recipe | chip | chips | computes, 1 example each | adds gradients | "
        "efficiency, 1 example each | examples each for 90 % | examples that fit | "
        "efficiency with these |",
        rows,
    )


def memory_table(every: dict[str, Facts]) -> str:
    """GB a chip by how many share the state."""
    rows = []
    for recipe, facts in every.items():
        for fsdp in (1, 8, *CHIPS):
            sizes = (f"{memory(facts, fsdp, n) / 1e9:.2f}" for n in (1, 4, 16))
            fits = (str(most(facts, chip, fsdp)) for chip in ACCELERATORS)
            rows.append(
                f"| `{recipe}` | {fsdp:,} | {' | '.join(sizes)} | {' | '.join(fits)} |"
            )
    names = " | ".join(f"examples that fit {chip.name}" for chip in ACCELERATORS)
    return _table(
        f"| recipe | chips that share the state | GB, 1 example | 4 | 16 | {names} |",
        rows,
    )


TABLES: dict[str, Callable[[dict[str, Facts]], str]] = {
    "read": read_table,
    "exchanges": exchange_table,
    "model": model_table,
    "memory": memory_table,
}
