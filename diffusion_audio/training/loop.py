"""The training loop: the same one for every task."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from diffusion_audio.aliases import Batch, Key, Metrics, Params, State
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.progress import MakeView, ProgressView
from diffusion_audio.rows import split_over
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import open_log, read_metrics
from diffusion_audio.runs.retention import BETTER, Retention, best_step
from diffusion_audio.runs.session import Session
from diffusion_audio.systems import processes
from diffusion_audio.training import non_finite, resume
from diffusion_audio.training.expected import Band
from diffusion_audio.training.interruption import Interrupted as Interrupted
from diffusion_audio.training.interruption import Stop, stop_signals
from diffusion_audio.training.metric_rows import Rows
from diffusion_audio.training.non_finite import (
    POLICIES,
    GuardedStep,
    NotFinite,
    Taken,
    Watch,
)
from diffusion_audio.training.parallel import ParallelConfig, make_mesh, place_batch
from diffusion_audio.training.profiling import Profiler
from diffusion_audio.training.resume import BatchStream as BatchStream
from diffusion_audio.training.task import Task
from diffusion_audio.training.watchdog import watchdog


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
        non_finite: what becomes of a step whose loss, gradient norm or other metric is
            not finite: ``halt`` ends the run with the state before it saved, ``skip``
            leaves the step out and goes on.
        max_skipped: number of steps of a run that ``skip`` may leave out.
        watchdog: seconds without any progress after which the process is ended, ten
            times that in compiling and evaluating (`training.watchdog`); 0 for never.
        expected: where the loss of this recipe was with other seeds
            (`training.expected`); empty where that is not known.
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
    non_finite: str = "halt"
    max_skipped: int = 10
    watchdog: float = 1800.0
    expected: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def allowed(self) -> int:
        """How many steps that are not finite may be left out."""
        return self.max_skipped if self.non_finite == "skip" else 0

    def evaluates(self, step: int) -> bool:
        """Whether a step is evaluated."""
        every = self.evaluate_every
        return step == self.steps or bool(every and step % every == 0)

    def __post_init__(self) -> None:
        least = {"steps": 1, "log_every": 1, "checkpoint_every": 1, "keep": 1}
        least |= {
            "accumulate": 1,
            "evaluate_every": 0,
            "keep_every": 0,
            "max_skipped": 1,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(
                    f"config.train.{name} must be {bound} or more, not "
                    f"{getattr(self, name)}"
                )
        if self.best not in BETTER:
            raise unknown("value of config.train.best", self.best, BETTER)
        if self.keep_best and not self.evaluate_every:
            raise UserError(
                "config.train.keep_best needs evaluations to choose by: set "
                "config.train.evaluate_every, best to checkpoint_every"
            )
        if self.non_finite not in POLICIES:
            raise unknown("config.train.non_finite", self.non_finite, POLICIES)
        if not 0 <= self.watchdog < float("inf"):
            raise UserError(
                f"config.train.watchdog must be 0 or more seconds, not {self.watchdog}"
            )

    def retention(self, workdir: Path) -> Retention:
        """Which checkpoints of a run stay."""
        if not self.keep_best:
            return Retention(self.keep, self.keep_every)

        def best(steps: Collection[int]) -> int | None:
            return best_step(read_metrics(workdir), steps, self.keep_best, self.best)

        return Retention(self.keep, self.keep_every, best)


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
    band: Band,
    profiler: Profiler,
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
        session: records the steps that are saved, and what time is spent on.
        band: where the loss should be.
        profiler: traces steps when it is asked to.
        name: shown in the progress view.
        progress: makes that view.
        allow_fresh: start over where the checkpoints of a run are lost or damaged; its
            metrics are kept aside.
        stop: asks to end early; of signals to this process alone where None.

    Returns:
        The last state.

    Raises:
        UserError: a loss or gradient is not finite (the state before it is saved), no
            checkpoint is good, or the last step could not be saved.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the state of that step is saved.
    """
    clock = session.clock
    mesh = make_mesh(parallel)
    retention = cfg.retention(workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", retention, session.saved)
    with checkpoints:
        found = resume.find(workdir, checkpoints, session, allow_fresh)
        state, left_out = resume.start(
            task, key, mesh, checkpoints, found, frozen, batches
        )
        resume.clear(workdir, checkpoints, found)
        start = found or 0
        limit = max(cfg.allowed, left_out)  # a run may have been allowed more before
        step_fn = GuardedStep(task.step, mesh, parallel.mode, limit, left_out)
        log = open_log(workdir, sample_rate, start)
        evaluated = processes.from_first(lambda: sorted(log.evaluated))
        session.begin(start)
        clock.lap("init")
        # Opened last: until here a signal ends the process, since nothing is lost.
        with (
            stop_signals(stop) as stop,
            watchdog(cfg.watchdog, workdir) as alive,
            contextlib.closing(log),
        ):
            view = progress(name, cfg.steps, start)
            rows = Rows(log, view, band, start)
            done = start
            metrics: Metrics = {}
            position = batches.get_state()

            def tell(taken: Taken) -> Path:
                rows.write(taken.step, taken.metrics)
                return non_finite.write(workdir, taken, key)

            watch = Watch(limit, left_out, tell)

            def lap(name: str) -> None:
                clock.lap("redone" if done < log.furthest else name)

            def begin(doing: str, patient: bool = False) -> None:
                stop.doing = doing
                alive(doing, patient)

            def keep() -> None:
                if done > max(start, checkpoints.latest):
                    place = resume.of_all_processes(position)
                    data = {"batches": place, "skipped": watch.skipped}
                    checkpoints.save(done, state, data)
                clock.lap("checkpoint")

            def finish_step() -> None:
                """Keeps what is computed, with its row."""
                watch.settle()
                rows.write(done, metrics)
                lap("step")
                checkpoints.finish()  # one that failed is tried again
                keep()
                checkpoints.finish()

            def take_back(taken: Taken) -> None:
                """Keeps the state before a step, which the later ones left as it is."""
                nonlocal done, position
                done, position = taken.step - 1, taken.before
                keep()
                checkpoints.finish()

            def evaluate() -> None:
                doing = f"the evaluation of step {done}"
                begin(doing, patient=True)

                def held() -> Iterator[Batch]:
                    for batch in evaluation_batches():
                        if stop:
                            raise _Stopped
                        begin(doing, patient=True)
                        if processes.alone():
                            checkpoints.finish(wait=False)
                            # Of what is saved a signal need not wait for the rest.
                            stop.at_once = session.last_step == done
                        yield place_batch(batch, mesh)

                with contextlib.suppress(_Stopped), split_over(mesh):
                    found = task.evaluate(state, held(), key)
                    stop.at_once = False
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
                    begin(f"step {done + 1}")
                    lap("step")
                    batch = place_batch(next(batches), mesh)
                    lap("data")
                    if done == start:
                        begin(f"the compiling of step {done + 1}", patient=True)
                        # All that is computed is saved: a signal need not wait.
                        stop.at_once = processes.alone()
                        if stop:
                            break
                    profiler.before(done + 1)
                    before = position
                    state, metrics, skipped = step_fn(state, batch, key)
                    # At once, so that an error finds state and step in one.
                    done, position = done + 1, batches.get_state()
                    if cfg.allowed:
                        metrics |= {"skipped": skipped}
                    taken = Taken(done, metrics, skipped, batches.ids, before)
                    profiler.after(metrics)
                    if done == start + 1:
                        jax.block_until_ready(metrics)
                        clock.lap("compile")
                        stop.at_once = False
                    watch.follow(taken)  # the step before, while this one is computed
                    rows.write_pending()
                    logged = done % cfg.log_every == 0 or done in (1, cfg.steps)
                    if logged:
                        rows.pending = (done, metrics)
                    if logged or processes.alone():  # several ask each other
                        checkpoints.finish(wait=False)
                    due = done % cfg.checkpoint_every == 0 or done == cfg.steps
                    if due or cfg.evaluates(done) or stop:
                        watch.settle()
                        rows.write(done, metrics)
                        lap("step")
                    if due:  # before an evaluation, which may fail
                        keep()
                    if cfg.evaluates(done) and not stop:
                        evaluate()
                finish_step()
            except NotFinite as error:
                take_back(error.taken)
                saved = max(start, session.last_step)
                raise UserError(
                    f"{error}; {non_finite.advice(saved, error.taken, workdir)}"
                ) from None
            except Exception:  # what is computed is not lost with what failed
                # With several processes, the others may not have come as far.
                if processes.alone() and _usable(state):
                    try:
                        finish_step()
                    except NotFinite as error:
                        take_back(error.taken)
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


class _Stopped(Exception):
    """A signal came during an evaluation."""


def _usable(state: State) -> bool:
    """Whether a state is there; it comes of finite numbers."""
    try:
        there = not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))
        jax.block_until_ready(state)
        return there
    except Exception as error:  # of the device, which has failed for good
        logging.warning("the state of the last step is lost: %s", error)
        return False
