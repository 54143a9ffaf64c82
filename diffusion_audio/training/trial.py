"""A run tried out before it is begun: its data, its program, two of its steps.

Nothing is written. Each part is made when it is asked for, so that what is cheap to
find out is found out first.
"""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.stages import Compiled
from ml_collections import ConfigDict

from diffusion_audio.aliases import Batch, State
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.data.source import Source
from diffusion_audio.runs.components import component_extras, load_components
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.settings import settings
from diffusion_audio.training import tasks
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.non_finite import SKIPPED
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    place_batch,
    replicate,
    require_divisible,
)
from diffusion_audio.training.plan import abstract_batch, abstract_state, lower_step
from diffusion_audio.training.run import assemble
from diffusion_audio.training.task import Task


@dataclasses.dataclass(frozen=True)
class Trial:
    """A config that can be trained here as far as it says itself. Made by `begin`.

    Attributes:
        config: resolved.
        data: what is trained on.
        train: length and intervals.
        mesh: the devices.
    """

    config: Mapping[str, Any]
    data: DataConfig
    train: TrainConfig
    mesh: Mesh


class Opened(NamedTuple):
    """The data of a trial. Made by `open_data`.

    Attributes:
        task: made for it.
        train: clips to learn from.
        held: clips to evaluate on.
        batch: the first one, on the devices.
        seconds: that reading it took.
    """

    task: Task
    train: Source
    held: Source
    batch: Batch
    seconds: float


class Steps(NamedTuple):
    """What two steps said. Made by `run_steps`.

    Attributes:
        metrics: of the second.
        seconds: of the second, which finds all at hand.
    """

    metrics: dict[str, float]
    seconds: float


def begin(config: ConfigDict | Mapping[str, Any]) -> Trial:
    """A config, resolved and with all that it says found possible.

    Raises:
        UserError: it is not, or its batch cannot be split over the devices.
    """
    resolved = resolve(config)
    data = settings(DataConfig, resolved, "data")
    train = settings(TrainConfig, resolved, "train")
    mesh = make_mesh(settings(ParallelConfig, resolved, "parallel"))
    require_divisible(data.batch_size, mesh, train.accumulate)
    tasks.TABLE[resolved["task"]].configure(resolved)  # refuses what cannot be
    return Trial(resolved, data, train, mesh)


def open_data(trial: Trial, workdir: Path) -> Opened:
    """Opens the data, makes the task for it and reads a batch.

    Raises:
        UserError: the data is not there, is not what a run there began with, or is
            nothing that the task can learn from.
    """
    from diffusion_audio.audio.decoders import decoding
    from diffusion_audio.data.pipeline import batches

    config = trial.config
    with decoding(trial.data.decode_workers) as decode:
        made = assemble(config, workdir, component_extras(config), decode)
        stream = batches(made.source, seed=config["seed"], **made.options)
        started = time.monotonic()
        batch = place_batch(next(stream), trial.mesh)
        seconds = time.monotonic() - started
    return Opened(made.task, made.source, made.held, batch, seconds)


def plan(trial: Trial, opened: Opened) -> tuple[State, Compiled, float]:
    """The shapes of the state in their places, the step's program, and its seconds.

    Under ``pmap`` that of ``jit``, which holds the same on one device.
    """
    task, mesh = opened.task, trial.mesh
    batch = abstract_batch(opened.batch, mesh)
    if trial.data.cache_latents:
        assert task.encode is not None
        frozen = abstract_state(task, batch, mesh)["frozen"]
        moments = jax.eval_shape(task.encode, frozen, batch.pop("audio"))
        batch |= abstract_batch({"moments": moments}, mesh)
    started = time.monotonic()
    compiled = lower_step(task, batch, mesh).compile()
    seconds = time.monotonic() - started
    return abstract_state(task, batch, mesh), compiled, seconds


def run_steps(trial: Trial, opened: Opened, state: State, step: Compiled) -> Steps:
    """Makes a state and trains it for two steps.

    Args:
        trial: the config.
        opened: the data.
        state: its shapes, of `plan`.
        step: of `plan`.
    """
    task, mesh, batch = opened.task, trial.mesh, dict(opened.batch)
    frozen = task.components() if task.components else load_components(trial.config)
    if trial.data.cache_latents:  # as training has them, once a run
        assert task.encode is not None
        moments = jax.jit(task.encode)(frozen, batch.pop("audio"))
        batch["moments"] = jax.device_put(moments, batch["index"].sharding)
    key = jax.random.key(trial.config["seed"])
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    init = jax.jit(task.init, out_shardings=places)
    state = init(key, batch, replicate(frozen, mesh))
    state[SKIPPED] = replicate(jnp.int32(0), mesh)
    for _ in range(2):
        jax.block_until_ready(state)
        started = time.monotonic()
        state, metrics = step(state, batch, key)
        jax.block_until_ready(metrics)
        seconds = time.monotonic() - started
    return Steps({name: float(value) for name, value in metrics.items()}, seconds)
