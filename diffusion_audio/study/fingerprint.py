"""Fingerprints: numbers that code computes, and whether two of them are the same.

Two pieces of code that give the same numbers train the same runs, however they are
written.
"""

import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.runs.code_hash import short_hash
from diffusion_audio.runs.workdir import provenance
from diffusion_audio.training.probe import Numbers, probe

# Relative, between machines: other processors round and add in other ways.
TOLERANCE = 1e-3


class Fingerprint(NamedTuple):
    """Numbers that code computes, and what computed them.

    Attributes:
        numbers: by name.
        environment: as of `environment`.
    """

    numbers: Numbers
    environment: dict[str, Any]


@cache
def environment() -> dict[str, Any]:
    """What the last bits of a number depend on, besides the code."""
    about = provenance()
    return {
        "packages": about["packages"],
        "devices": about["devices"],
        "processor": about["processor"],
        "instructions": _instructions(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        # Sums are split between threads; see `cli.experiment`.
        "threads": os.environ.get("NPROC", str(os.cpu_count())),
    }


def change(old: Fingerprint, new: Fingerprint) -> str:
    """What differs most between two fingerprints, in words; empty where nothing does.

    In one environment numbers must be equal to the bit, in two within `TOLERANCE`. On
    accelerators, which need not add in the same order twice, `TOLERANCE` holds in one
    environment too. What only one of them has, such as a new metric, does not count.
    """
    on_cpu = all(kind == "cpu" for kind in new.environment["devices"])
    same_machine = old.environment == new.environment and on_cpu
    tolerance = 0.0 if same_machine else TOLERANCE
    common = [name for name in new.numbers if name in old.numbers]
    if not common:
        return "no number of then is computed now"
    worst, words = tolerance, ""
    for name in common:
        then, now = old.numbers[name], new.numbers[name]
        if len(then) != len(now):
            return f"{name} has {len(now)} values, then {len(then)}"
        for place, (a, b) in enumerate(zip(then, now, strict=True)):
            if (error := _relative(a, b)) > worst:
                worst = error
                which = f" (number {place + 1} of {len(now)})" if len(now) > 1 else ""
                words = f"{name}{which} was {a:.9g} and is {b:.9g}"
    return words


def of_training(config: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint of a training run, of its resolved config; see `probe`."""
    return Fingerprint(probe(config), environment())


def _relative(a: float, b: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    error = abs(a - b) / max(abs(a), abs(b))
    return error if math.isfinite(error) else math.inf


def _instructions() -> str:
    """What a processor can do, shortly: its name alone is often that of a family."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Feat"))]
    return short_hash(lines[0]) if lines else ""
