"""From what a step costs one chip to how many chips it scales: a model, its tables.

Facts are read of compiled programs (`benchmarks.scaling`); what is here is arithmetic
with the numbers of data sheets. No accelerator was measured.
"""

import math
from dataclasses import dataclass
from typing import Any

CHIPS = (16, 256, 4096)
USED = 0.4  # assumed share of the peak that convolutions and products of a step reach
BACKWARD = 2 / 3  # of a step, in which gradients may be sent while others are computed
GIB = 2**30


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


def step(facts: dict[str, Any], chip: Chip, chips: int, examples: int) -> Step:
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


def enough(facts: dict[str, Any], chip: Chip, chips: int, least: float = 0.9) -> int:
    """The fewest examples a chip with which the efficiency is ``least`` or more."""
    examples = 1
    while step(facts, chip, chips, examples).least < least:
        examples += 1
    return examples


def memory(facts: dict[str, Any], fsdp: int, examples: int) -> float:
    """Bytes a chip: the state's share, gradients whole, and what backward keeps."""
    state = facts["state_bytes"] / fsdp
    gathered = facts["gradient_bytes"] if fsdp > 1 else 0
    kept = examples * facts["residuals_per_example"]
    return state + gathered + facts["gradient_bytes"] + kept


def most_examples(facts: dict[str, Any], chip: Chip, fsdp: int) -> int:
    """How many examples a chip's memory holds."""
    room = chip.memory - memory(facts, fsdp, 0)
    return max(0, int(room / facts["residuals_per_example"]))


def rewritten(page: str, every: dict[str, dict[str, Any]]) -> str:
    """A page with its tables made anew."""
    raise NotImplementedError
