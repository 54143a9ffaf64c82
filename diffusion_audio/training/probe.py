"""What the code computes for a config: the numbers of a few steps.

They stand where formulas differ: at the start, in the warm-up, half way and at the end.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Params, State
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.data.source import Source
from diffusion_audio.runs.resolve import STARTED
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

if TYPE_CHECKING:  # as in `training.run`
    from diffusion_audio.audio.decoders import Decode

SEED = 0  # of every probe: runs that differ in their seed alone compute alike

Numbers = dict[str, list[float]]
Clips = Iterator[dict[str, np.ndarray]]


def probe(config: Mapping[str, Any]) -> Numbers:
    """Steps from random parameters on the first batches of the data.

    Args:
        config: resolved; its seed does not count, and its components need not have been
            trained, for they are random here.

    Returns:
        All metrics, and of each group of the state its norm and that of its change, a
        number a step; then an evaluation of one batch.
    """
    from diffusion_audio.audio.decoders import decoding

    workers = settings(DataConfig, config, "data").decode_workers
    with tempfile.TemporaryDirectory() as folder, decoding(workers) as decode:
        return _numbers(config, Path(folder), decode)


def _numbers(config: Mapping[str, Any], folder: Path, decode: "Decode") -> Numbers:
    """Those of `probe`; ``folder`` is for what is read as it goes."""
    task, frozen, training, evaluation = _probe_task(config, folder, decode)
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
    config: Mapping[str, Any], folder: Path, decode: "Decode"
) -> tuple[Task, Params, Clips, Clips]:
    """What `training.run` makes of a resolved config, but for its trained components.

    Returns:
        The task; random components, by name; batches to train and to evaluate on.
        Latents are cached of one batch of clips only.
    """
    from diffusion_audio.data.pipeline import batches

    config, frozen = {**config, "seed": SEED}, _random_components(config)
    made = run.assemble(config, folder, None, decode)
    source = made.source
    if config["data"]["cache_latents"]:
        source = _First(source, made.options["batch_size"])
    training = run.training_batches(
        made._replace(source=source), config, folder, frozen=lambda: frozen
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
