"""What the code computes for a config: the numbers of a few probe steps.

Two pieces of code that give the same numbers train the same runs, however they are
written. The steps stand where formulas differ: at the start, in the warm-up, half way
and at the end.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Params, State
from diffusion_audio.data.source import Source
from diffusion_audio.runs.code_hash import short_hash
from diffusion_audio.runs.resolve import STARTED
from diffusion_audio.runs.workdir import provenance
from diffusion_audio.settings import settings
from diffusion_audio.systems import autoencoders, vocoders
from diffusion_audio.systems.table import build
from diffusion_audio.training import run
from diffusion_audio.training.parallel import (
    ParallelConfig,
    compile_step,
    make_mesh,
    place_batch,
    replicate,
    state_shardings,
)
from diffusion_audio.training.task import Task

# Relative, between machines: other processors round and add in other ways.
TOLERANCE = 1e-3
SEED = 0  # of every probe: runs that differ in their seed alone compute alike

Numbers = dict[str, list[float]]
Clips = Iterator[dict[str, np.ndarray]]


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
    """The fingerprint of a training run.

    Probe steps from random parameters on the first batches of its data: all metrics,
    and of each group of the state its norm and that of its change, then an evaluation
    of one batch.

    Args:
        config: resolved; its seed does not count, and its components need not have been
            trained, for they are random here.
    """
    with tempfile.TemporaryDirectory() as folder:
        return Fingerprint(_probe(config, Path(folder)), environment())


def _probe(config: Mapping[str, Any], folder: Path) -> Numbers:
    """The numbers of `of_training`; ``folder`` is for what is read as it goes."""
    task, frozen, training, evaluation = _probe_task(config, folder)
    parallel = settings(ParallelConfig, config, "parallel")
    mesh, key = make_mesh(parallel), jax.random.key(SEED)
    step = compile_step(task.step, mesh, parallel.mode)
    places = _places(config)
    first, *more = (place_batch(b, mesh) for b in islice(training, len(places)))
    state = jax.jit(task.init)(key, first, replicate(frozen, mesh))
    state = jax.device_put(state, state_shardings(state, mesh))
    numbers: Numbers = {"probe step": list(map(float, places))}
    for place, batch in zip(places, (first, *more), strict=True):
        before = _groups(state)
        state, metrics = step(_at(state, place), batch, key)
        after = _groups(state)
        found = {name: float(value) for name, value in metrics.items()}
        for group, leaves in after.items():
            moved = [x - y for x, y in zip(leaves, before[group], strict=True)]
            found |= {f"{group}, norm": norm(leaves), f"{group}, moved": norm(moved)}
        for name, value in found.items():
            numbers.setdefault(name, []).append(value)
    held = (place_batch(batch, mesh) for batch in islice(evaluation, 1))
    for name, value in task.evaluate(state, held, key).metrics.items():
        numbers[f"evaluation, {name}"] = [float(value)]
    return numbers


def norm(leaves: list[np.ndarray]) -> float:
    """Euclidean norm of arrays together, in float64; their order does not count."""
    squares = (np.square(leaf.astype(np.float64)).sum() for leaf in leaves)
    return math.sqrt(math.fsum(squares))


def _probe_task(
    config: Mapping[str, Any], folder: Path
) -> tuple[Task, Params, Clips, Clips]:
    """What `training.run` makes of a resolved config, but for its trained components.

    Returns:
        The task; random components, by name; batches to train and to evaluate on.
        Latents are cached of one batch of clips only.
    """
    from diffusion_audio.audio.decoders import here
    from diffusion_audio.data.pipeline import batches

    config, frozen = {**config, "seed": SEED}, _random_components(config)
    made = run.assemble(config, folder, None, here)
    source = made.source
    if config["data"]["cache_latents"]:
        source = _First(source, made.options["batch_size"])
    training = run.training_batches(
        made._replace(source=source), config, folder, lambda: frozen
    )
    evaluation = batches(made.held, seed=SEED, **made.options)
    return made.task, frozen, training, evaluation


def _random_components(config: Mapping[str, Any]) -> Params:
    """Random parameters in the place of a config's components, as they are used."""
    key, frozen = jax.random.key(SEED), {}
    for name, part in config.get("components", {}).items():
        if name in STARTED:  # is random without a component too
            continue
        if name == "vocoder":
            network = build(vocoders.TABLE, part[name], f"config.{name}").inference
        else:
            network = build(autoencoders.TABLE, part[name], f"config.{name}").network
        frozen[name] = jax.jit(network.init)(key)
    return frozen


class _First:
    """The first clips of a source."""

    def __init__(self, source: Source, count: int) -> None:
        self._source, self._count = source, count

    def __len__(self) -> int:
        return min(self._count, len(self._source))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def _places(config: Mapping[str, Any]) -> list[int]:
    """Numbers of updates done: none, half the warm-up, half of all, all but one."""
    steps = config["train"]["steps"]
    warmup = config["optimizer"].get("warmup_steps", 0)
    return sorted({0, min(warmup // 2, steps - 1), steps // 2, steps - 1})


def _at(state: State, place: int) -> State:
    """The state, as if so many updates had been done: its counts say so."""

    def count(leaf: Any) -> Any:
        if leaf.ndim or not jnp.issubdtype(leaf.dtype, jnp.integer):
            return leaf
        return jax.device_put(jnp.asarray(place, leaf.dtype), leaf.sharding)

    counts = {name: jax.tree.map(count, state[name]) for name in ("step", "opt")}
    return state | counts


def _groups(state: State) -> dict[str, list[np.ndarray]]:
    """The floating arrays of each group that training changes, on the host."""
    return {
        name: [
            np.array(leaf)
            for leaf in jax.tree.leaves(group)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        for name, group in state.items()
        if name not in ("step", "frozen")
    }


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
