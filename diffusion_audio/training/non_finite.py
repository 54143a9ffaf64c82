"""Numbers that are not finite, found before they change anything.

One update with a NaN spreads it to the whole state, and what follows is lost. So a step
whose loss, gradient norm or other metric is not finite is left out within the compiled
program itself, which costs no wait for the device; the loop reads of each step whether
that happened while the next one is computed. Steps that may not be left out stop all
that come after them, so the state is that of the last good step when the loop learns
of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh

from diffusion_audio.aliases import Array, Batch, Key, Metrics, State
from diffusion_audio.errors import UserError
from diffusion_audio.runs.workdir import write_json
from diffusion_audio.training.parallel import Step, compile_step, replicate

FOLDER = "non_finite"  # in a work directory: what is known of each such step
SKIPPED = "skipped"  # beside the keys of a state, and among the metrics
POLICIES = ("halt", "skip")


def guarded(step: Step, allowed: int) -> Step:
    """A step that changes nothing where one of its numbers is not finite.

    Args:
        step: of a task.
        allowed: how many steps may be left out. Each of them counts as a step done, so
            that the next one draws other noise. The first beyond them, and every step
            after it, leaves the state as it is.

    Returns:
        A step whose state and metrics have ``skipped`` too, int32 []: how many were not
        finite so far.
    """

    def run(state: State, batch: Batch, *rest: Any) -> tuple[State, Metrics]:
        old = {name: tree for name, tree in state.items() if name != SKIPPED}
        new, metrics = step(old, batch, *rest)
        finite = jnp.stack([jnp.isfinite(x).all() for x in metrics.values()]).all()
        going = state[SKIPPED] <= allowed
        skipped = state[SKIPPED] + (going & ~finite).astype(jnp.int32)

        def chosen(good: Array, then: Array, now: Array) -> Array:
            # What a step hands through (a frozen VAE) is the same either way.
            return then if then is now else jax.lax.select(good, now, then)

        kept = {
            name: jax.tree.map(
                lambda then, now: chosen(going & finite, then, now), old[name], tree
            )
            for name, tree in new.items()
        }
        kept["step"] = chosen(skipped <= allowed, old["step"], new["step"])
        return kept | {SKIPPED: skipped}, metrics | {SKIPPED: skipped}

    return run


class GuardedStep:
    """A compiled step that is `guarded`; called with a state as tasks know it.

    Args:
        step: of a task.
        mesh: the devices.
        mode: of `compile_step`.
        allowed: how many steps may be left out.
        skipped: how many of the run were before.
    """

    def __init__(
        self, step: Step, mesh: Mesh, mode: str, allowed: int, skipped: int
    ) -> None:
        self._step = compile_step(guarded(step, allowed), mesh, mode)
        self._skipped = replicate(jnp.int32(skipped), mesh)

    def __call__(
        self, state: State, batch: Batch, key: Key
    ) -> tuple[State, Metrics, Array]:
        """One step; donates the state.

        Returns:
            State, metrics, and how many steps were not finite so far, int32 [].
        """
        counted = state | {SKIPPED: self._skipped}
        state, metrics = self._step(counted, batch, key)
        self._skipped = state.pop(SKIPPED)
        return state, metrics, metrics.pop(SKIPPED)


class Taken(NamedTuple):
    """A step that was given to the device, and what it was made of.

    Attributes:
        step: its number.
        metrics: as computed.
        skipped: how many steps were not finite, with this one, int32 [].
        clips: ids of the batch, of this process.
        before: position in the data before the batch, JSON values.
    """

    step: int
    metrics: Metrics
    skipped: Array
    clips: tuple[str, ...]
    before: Any


class NotFinite(UserError):
    """A number of a step is NaN or infinite, and steps may not be left out (any more).

    Args:
        text: which, in one line.
        taken: the step. The state is that before it.
    """

    def __init__(self, text: str, taken: Taken) -> None:
        super().__init__(text)
        self.taken = taken


class Watch:
    """Reads of each step, one late, whether its numbers were finite.

    Args:
        allowed: how many steps of a run may be left out.
        skipped: how many were before.
        tell: called with each step that is not finite; returns the path of what it
            wrote about it.

    Attributes:
        skipped: how many steps were left out, of those that were read.
    """

    def __init__(
        self, allowed: int, skipped: int, tell: Callable[[Taken], Path]
    ) -> None:
        self.skipped = skipped
        self._allowed, self._tell = allowed, tell
        self._taken: Taken | None = None

    def follow(self, taken: Taken) -> None:
        """Reads the step before this one, which is computed meanwhile.

        Raises:
            NotFinite: of the step before.
        """
        self.settle()
        self._taken = taken

    def settle(self) -> None:
        """Waits for the last step and reads it; raises as `follow`."""
        taken, self._taken = self._taken, None
        if taken is None or (count := int(taken.skipped)) == self.skipped:
            return
        said = f"{broken(taken.metrics)} not finite at step {taken.step}"
        where = self._tell(taken)
        if count <= self._allowed:
            self.skipped = count
            logging.warning(
                "%s, which is left out (%d of the %d that may be); %s has its clips",
                said,
                count,
                self._allowed,
                where,
            )
            return
        if self._allowed:
            said += f", and {self._allowed} steps were left out before it"
        raise NotFinite(f"{said} ({where} has its clips)", taken)


def broken(metrics: Metrics) -> str:
    """Names of the numbers that are not finite, with the verb."""
    names = [name for name, value in metrics.items() if not np.isfinite(float(value))]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def write(workdir: Path, taken: Taken, key: Key) -> Path:
    """Writes down a step: its numbers, clips, key and place in the data.

    Returns:
        The file; where it cannot be written that is said, and training ends or goes on
        as it would.
    """
    part = f".{jax.process_index()}" if jax.process_count() > 1 else ""
    path = workdir / FOLDER / f"{taken.step}{part}.json"
    record = {
        "step": taken.step,
        # JSON knows no number that is not finite.
        "metrics": {name: repr(float(x)) for name, x in taken.metrics.items()},
        "clips": taken.clips,
        "position": taken.before,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "replay": _replay(workdir, taken),
    }
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, record)
    except OSError as error:
        logging.warning("cannot write %s (%s)", path, error.strerror or error)
    return path


def advice(saved: int, taken: Taken, workdir: Path) -> str:
    """What can be done after a number that is not finite.

    Args:
        saved: the last step that is saved; 0 for none.
        taken: the step that it is of.
        workdir: of the run.
    """
    change = (
        "a lower config.optimizer.learning_rate or with config.optimizer.clip_norm "
        "set, or check the data (`data check`)"
    )
    skip = "--config.train.non_finite=skip leaves such steps out"
    where = f"`{_replay(workdir, taken)}` says in which gradients it is"
    if not saved:
        return (
            f"nothing is saved in {workdir}, so the same --workdir takes a changed "
            f"config: train with {change}; {skip}; {where}"
        )
    return (
        f"step {saved} is saved, and {workdir} keeps its config: train in a new "
        f"--workdir with {change}; here the same command goes on from step {saved}; "
        f"{skip}; {where}"
    )


def _replay(workdir: Path, taken: Taken) -> str:
    return f"diffusion-audio replay --workdir={workdir} --step={taken.step}"
