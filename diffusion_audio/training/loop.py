"""The training loop: the same one for every task."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from diffusion_audio.aliases import Key, Metrics, Params, State
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.progress import MakeView, ProgressView, View
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import Log, open_log, read_metrics
from diffusion_audio.runs.retention import BETTER, Retention, best_step
from diffusion_audio.runs.session import Session
from diffusion_audio.systems import processes
from diffusion_audio.training import resume
from diffusion_audio.training.interruption import Interrupted as Interrupted
from diffusion_audio.training.interruption import Stop, stop_signals
from diffusion_audio.training.parallel import (
    ParallelConfig,
    compile_step,
    make_mesh,
    place_batch,
)
from diffusion_audio.training.resume import BatchStream as BatchStream
from diffusion_audio.training.task import Task


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
        keep_every: those of steps that are multiples of it stay too; 0 for none.
        keep_best: name of an evaluated metric; of the checkpoints whose step was
            evaluated, the best one by it stays too.
        best: which values of it are better, ``lower`` or ``higher`` ones.
        accumulate: parts that a batch is computed in, one after the other.
    """

    steps: int = 1000
    log_every: int = 50
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    keep: int = 2
    keep_every: int = 0
    keep_best: str = ""
    best: str = "lower"
    accumulate: int = 1

    def evaluates(self, step: int) -> bool:
        """Whether a step is evaluated."""
        every = self.evaluate_every
        return step == self.steps or bool(every and step % every == 0)

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "checkpoint_every", "keep", "accumulate"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"config.train.{name} must be 1 or more, not {getattr(self, name)}"
                )
        for name in ("evaluate_every", "keep_every"):
            if getattr(self, name) < 0:
                raise UserError(
                    f"config.train.{name} must be 0 or more, not {getattr(self, name)}"
                )
        if self.best not in BETTER:
            raise unknown("value of config.train.best", self.best, BETTER)
        if self.keep_best and not self.evaluate_every:
            raise UserError(
                "config.train.keep_best needs evaluations to choose by: set "
                "config.train.evaluate_every, best to checkpoint_every"
            )

    def retention(self, workdir: Path) -> Retention:
        """Which checkpoints of a run stay."""
        if not self.keep_best:
            return Retention(self.keep, self.keep_every)

        def best(steps: Collection[int]) -> int | None:
            return best_step(read_metrics(workdir), steps, self.keep_best, self.best)

        return Retention(self.keep, self.keep_every, best)


class NotFinite(UserError):
    """A loss or gradient is NaN or infinite: what follows is lost too."""


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
    allow_fresh: bool = False,
    stop: Stop | None = None,
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
        session: records the steps that are saved, and what time is spent on:
            ``setup``, ``compile``, ``step``, ``evaluate`` and ``checkpoint``.
        name: shown in the progress view.
        progress: makes that view.
        allow_fresh: start over where the checkpoints of a run are lost or damaged; its
            metrics are kept aside.
        stop: asks to end early; of signals to this process alone where None.

    Returns:
        The last state.

    Raises:
        UserError: a loss or gradient is not finite, no checkpoint is good, or the last
            step could not be saved.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the state of that step is saved.
    """
    clock = session.clock
    mesh = make_mesh(parallel)
    step_fn = compile_step(task.step, mesh, parallel.mode)
    retention = cfg.retention(workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", retention, session.saved)
    with checkpoints:
        found = resume.find(workdir, checkpoints, session, allow_fresh)
        state = resume.start(task, key, mesh, checkpoints, found, frozen, batches)
        resume.clear(workdir, checkpoints, found)
        start = found or 0
        log = open_log(workdir, sample_rate, start)
        evaluated = processes.from_first(lambda: sorted(log.evaluated))
        session.begin(start)
        clock.lap("setup")
        # Opened last: until here a signal ends the process, since nothing is lost.
        with stop_signals(stop) as stop, contextlib.closing(log):
            view = progress(name, cfg.steps, start)
            rows = _Rows(log, view, start)
            done = start
            metrics: Metrics = {}
            position = batches.get_state()

            def keep() -> None:
                if done > max(start, checkpoints.latest):
                    checkpoints.save(done, state, {"batches": position})
                clock.lap("checkpoint")

            def finish_step() -> None:
                """Keeps what is computed, with its row."""
                rows.write(done, metrics)
                clock.lap("step")
                checkpoints.finish()  # one that failed is tried again
                keep()
                checkpoints.finish()

            def evaluate() -> None:
                stop.doing = f"the evaluation of step {done}"
                held = (
                    place_batch(batch, mesh)
                    for batch in _until(stop, evaluation_batches())
                )
                with contextlib.suppress(_Stopped):
                    found = task.evaluate(state, held, key)
                    log.evaluation(done, found)
                    if cfg.keep_best and cfg.keep_best not in found.metrics:
                        raise unknown(
                            "config.train.keep_best", cfg.keep_best, found.metrics
                        )
                clock.lap("evaluate")

            try:
                if start and cfg.evaluates(start) and start not in evaluated:
                    evaluate()  # that was stopped, or its process killed
                while done < cfg.steps and not stop:
                    stop.doing = f"step {done + 1}"
                    if done == start:
                        stop.doing += ", whose program is being compiled,"
                    batch = place_batch(next(batches), mesh)
                    state, metrics = step_fn(state, batch, key)
                    done, position = done + 1, batches.get_state()
                    if done == start + 1:
                        jax.block_until_ready(metrics)
                        clock.lap("compile")
                    rows.write_pending()  # while this step is computed
                    if done % cfg.log_every == 0 or done in (1, cfg.steps):
                        rows.pending = (done, metrics)
                        checkpoints.finish(wait=False)
                    due = done % cfg.checkpoint_every == 0 or done == cfg.steps
                    if due or cfg.evaluates(done) or stop:
                        rows.write(done, metrics)
                        clock.lap("step")
                    if due:  # before an evaluation, which may fail
                        keep()
                    if cfg.evaluates(done) and not stop:
                        evaluate()
                finish_step()
            except NotFinite as error:
                checkpoints.finish()
                raise UserError(
                    f"{error}; {_advice(max(start, session.last_step), workdir)}"
                ) from None
            except Exception:  # what is computed is not lost with what failed
                # With several processes, the others may not have come as far.
                if processes.alone() and _usable(state, metrics):
                    finish_step()
                raise
            finally:
                view.close()
                session.write()
    saved = max(start, session.last_step)
    if stop:
        kept_there = f"step {saved} is saved" if saved else "nothing is saved"
        problem = f" ({checkpoints.problem})" if saved < done else ""
        goes_on = "the same command goes on from there" if saved else "it starts anew"
        raise Interrupted(
            f"stopped by {stop.name} at step {done} of {cfg.steps}; {kept_there}"
            f"{problem}, {goes_on}",
            stop.number or 0,
        )
    if saved < cfg.steps:
        there = f"step {saved} is kept there" if saved else "nothing is saved yet"
        mend = "free some space" if checkpoints.full else "mend that"
        what = "the disk was too full to" if checkpoints.full else "could not"
        raise UserError(
            f"{what} save step {cfg.steps}, the last one, in {checkpoints.directory} "
            f"({checkpoints.problem}); {there}; {mend} and run the same command again"
        )
    return state


class _Rows:
    """Writes the metrics of steps, one row late: while the next step is computed.

    Attributes:
        pending: a step and its metrics, not written yet.
    """

    def __init__(self, log: Log, view: View, start: int) -> None:
        self.pending: tuple[int, Metrics] | None = None
        self._log, self._view, self._written = log, view, start

    def write_pending(self) -> None:
        """Writes what is pending; raises as `write`."""
        if self.pending is not None:
            self.write(*self.pending)

    def write(self, step: int, metrics: Metrics) -> None:
        """Writes the row of a step, if it is not written yet.

        Raises:
            NotFinite: a number is not; it is written all the same.
        """
        self.pending = None
        if step <= self._written:
            return
        values = {name: float(value) for name, value in metrics.items()}
        self._log.scalars(step, "train", values)
        self._view.update(step, {"loss": values["loss"]} if "loss" in values else {})
        broken = [name for name, value in values.items() if not np.isfinite(value)]
        if broken:
            names = f"{', '.join(broken)} {'is' if len(broken) == 1 else 'are'}"
            since = f" (at step {self._written} all was well)" if self._written else ""
            raise NotFinite(f"{names} not finite at step {step}{since}")
        self._written = step


class _Stopped(Exception):
    """A signal came during an evaluation."""


def _until(stop: Stop, batches: Iterator[Any]) -> Iterator[Any]:
    """Batches, until a signal asks to stop."""
    for batch in batches:
        if stop:
            raise _Stopped
        yield batch


def _advice(saved: int, workdir: Path) -> str:
    """What can be done after a number that is not finite."""
    change = (
        "a lower config.optimizer.learning_rate or with config.optimizer.clip_norm "
        "set, or check the data (`data check`)"
    )
    if not saved:
        return (
            f"nothing is saved in {workdir}, so the same --workdir takes a changed "
            f"config: train with {change}"
        )
    return (
        f"step {saved} is the last one saved, and {workdir} keeps its config: train in "
        f"a new --workdir with {change}"
    )


def _usable(state: State, metrics: Metrics) -> bool:
    """Whether a state is there, and comes of a step whose numbers are finite."""
    try:
        there = not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))
        return there and all(np.isfinite(float(value)) for value in metrics.values())
    except Exception as error:  # of the device, which has failed for good
        logging.warning("the state of the last step is lost: %s", error)
        return False
