"""The training loop: the same one for every task."""

import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from diffusion_audio.aliases import Key, Metrics, Params
from diffusion_audio.errors import UserError
from diffusion_audio.training.checkpoint import Checkpoints
from diffusion_audio.training.metric_log import MetricLog
from diffusion_audio.training.parallel import (
    ParallelConfig,
    compile_step,
    make_mesh,
    place_batch,
    replicate,
    state_shardings,
)
from diffusion_audio.training.progress import MakeView, ProgressView, View
from diffusion_audio.training.session import Session
from diffusion_audio.training.task import State, Task


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of the loop.

    Attributes:
        steps: number of updates in all.
        log_every: steps between two rows of metrics.
        evaluate_every: steps between two evaluations; 0 for the last step only.
        checkpoint_every: steps between two checkpoints; the last step is always
            saved.
        keep: number of newest checkpoints that stay.
        accumulate: parts that a batch is computed in, one after the other.
    """

    steps: int = 1000
    log_every: int = 50
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    keep: int = 2
    accumulate: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "checkpoint_every", "keep", "accumulate"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"config.train.{name} must be 1 or more, not {getattr(self, name)}"
                )


class Interrupted(Exception):
    """A signal asked a run to stop; it did, with everything saved."""


class BatchStream(Protocol):
    """Batches without end, whose position can be saved and set."""

    def __next__(self) -> dict[str, np.ndarray]:
        """The next batch of this process."""
        ...

    def get_state(self) -> Any:
        """The position, JSON values."""
        ...

    def set_state(self, state: Any) -> None:
        """Goes to a position."""
        ...


def train(
    task: Task,
    cfg: TrainConfig,
    parallel: ParallelConfig,
    *,
    key: Key,
    workdir: Path,
    frozen: Callable[[], Params],
    batches: BatchStream,
    evaluation_batches: Callable[[], Iterator[dict[str, np.ndarray]]],
    sample_rate: int,
    session: Session,
    name: str = "train",
    progress: MakeView = ProgressView,
) -> State:
    """Trains a task to its last step, going on from the newest good checkpoint.

    Args:
        task: what to train.
        cfg: length and intervals.
        parallel: how devices are used.
        key: the run's root key.
        workdir: where checkpoints and metrics go.
        frozen: loads the trained parts a new state needs; not called to go on.
        batches: training batches of this process.
        evaluation_batches: starts anew through batches that training never sees.
        sample_rate: of logged audio, in Hz.
        session: told of the steps that are saved, and what time is spent on:
            ``setup``, ``compile``, ``step``, ``evaluate`` and ``checkpoint``.
        name: shown in the progress view.
        progress: makes that view.

    Returns:
        The last state.

    Raises:
        UserError: a loss or gradient is not finite, or no checkpoint is good.
        Interrupted: SIGINT or SIGTERM came; the state of that step is saved.
    """
    clock = session.clock
    mesh = make_mesh(parallel)
    step_fn = compile_step(task.step, mesh, parallel.mode)
    checkpoints = Checkpoints(workdir / "checkpoints", cfg.keep)
    state, start = _start(task, key, mesh, checkpoints, frozen, batches)
    log = MetricLog(workdir, sample_rate, start)
    view = progress(name, cfg.steps, start)
    pending: tuple[int, Metrics] | None = None
    saved = start
    session.begin(start)
    clock.lap("setup")
    try:
        with stop_signals() as stop:
            for step in range(start + 1, cfg.steps + 1):
                batch = place_batch(next(batches), mesh)
                state, metrics = step_fn(state, batch, key)
                if step == start + 1:
                    jax.block_until_ready(metrics)
                    clock.lap("compile")
                if pending:  # of an earlier step, while this one is computed
                    _log(log, view, *pending)
                    pending = None
                if step % cfg.log_every == 0 or step in (1, cfg.steps):
                    pending = (step, metrics)
                    checkpoints.finish(wait=False)
                due = step % cfg.checkpoint_every == 0 or step == cfg.steps
                evaluate = step == cfg.steps or (
                    cfg.evaluate_every and step % cfg.evaluate_every == 0
                )
                if due or evaluate or stop:
                    _log(log, view, step, metrics)
                    pending = None
                    clock.lap("step")
                if due or stop:  # before an evaluation, which may fail
                    position = {"batches": batches.get_state()}
                    room = checkpoints.save(step, state, position)
                    clock.lap("checkpoint")
                    if room:
                        saved = step
                        session.saved(step)
                if evaluate:
                    held = (place_batch(batch, mesh) for batch in evaluation_batches())
                    evaluation = task.evaluate(state, held, key)
                    log.evaluation(step, evaluation)
                    clock.lap("evaluate")
                if stop and step < cfg.steps:
                    checkpoints.finish()
                    raise Interrupted(
                        f"stopped by a signal at step {step} of {cfg.steps}; step "
                        f"{saved} is saved, the same command goes on from there"
                    )
            checkpoints.finish()
    finally:
        view.close()
        log.close()
        checkpoints.close()
        clock.lap("checkpoint")
        session.write()
    if saved < cfg.steps:
        kept = f"step {saved} is kept there" if saved else "nothing is saved yet"
        raise UserError(
            f"the disk was too full to save step {cfg.steps} in "
            f"{checkpoints.directory}; {kept}; free some space and run the same "
            "command again"
        )
    return state


def _start(
    task: Task,
    key: Key,
    mesh: Mesh,
    checkpoints: Checkpoints,
    frozen: Callable[[], Params],
    batches: BatchStream,
) -> tuple[State, int]:
    """A new state, or the newest good one with the data at its position."""
    position = batches.get_state()
    first = place_batch(next(batches), mesh)
    batches.set_state(position)
    shapes = jax.eval_shape(task.init, key, first)
    shardings = state_shardings(shapes, mesh)
    step = checkpoints.newest_good()
    if step is None:
        init = jax.jit(task.init, out_shardings=shardings)
        return init(key, first, replicate(frozen(), mesh)), 0
    like = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        shapes,
        shardings,
    )
    state, saved = checkpoints.restore(step, like)
    checkpoints.drop_after(step)
    batches.set_state(saved["batches"])
    logging.info("going on from step %d", step)
    return state, step


def _log(log: MetricLog, view: View, step: int, metrics: Metrics) -> None:
    """Writes the metrics of a step; stops the run where one is not finite."""
    values = {name: float(value) for name, value in metrics.items()}
    log.scalars(step, "train", values)
    view.update(step, {"loss": values["loss"]} if "loss" in values else {})
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise UserError(
            f"{', '.join(broken)} not finite at step {step}; the last checkpoint is "
            "from before it: lower config.optimizer.learning_rate, set "
            "config.optimizer.clip_norm, or check the data (`data check`)"
        )


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that the loop can save; a second one is final."""
    received: list[int] = []
    old: dict[int, Any] = {}

    def receive(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, old[number])
        logging.info("saving, then stopping; a second signal stops at once")

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        old[number] = signal.getsignal(number)
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
