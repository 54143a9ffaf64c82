"""Where a run goes on: its newest good checkpoint, or the start where it has none.

A run whose checkpoints are lost never starts over by itself.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from diffusion_audio.aliases import Key, Params, State
from diffusion_audio.errors import UserError
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import METRICS, read_metrics
from diffusion_audio.runs.session import PROVENANCE, Session
from diffusion_audio.systems import processes
from diffusion_audio.training.parallel import place_batch, replicate, state_shardings
from diffusion_audio.training.task import Task


class BatchStream(Iterator[dict[str, np.ndarray]], Protocol):
    """Batches without end, whose position can be saved and set."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The clips of the last batch, by their ids."""
        ...

    def get_state(self) -> Any:
        """The position, JSON values."""
        ...

    def set_state(self, state: Any) -> None:
        """Goes to a position."""
        ...


def of_all_processes(position: Any) -> Any:
    """The position to save: all stand at this one, and each has met its own bad clips.

    Args:
        position: of this process's stream, `data.pipeline.Batches.get_state`.
    """
    if processes.alone():
        return position
    met: dict[str, str] = {}
    for each in processes.of_all(position["skipped"]):
        met |= each
    return position | {"skipped": met}


def find(
    workdir: Path, checkpoints: Checkpoints, session: Session, allow_fresh: bool
) -> int | None:
    """The step to go on from; None to start.

    Makes the directory of the checkpoints ready.

    Args:
        workdir: of the run.
        checkpoints: of the run.
        session: that begins.
        allow_fresh: start where checkpoints are lost or all of them damaged.

    Raises:
        UserError: they are, and that is not allowed.
    """
    if not checkpoints.exist() and not allow_fresh:
        _require_new(workdir, checkpoints, session)  # before anything is made
    checkpoints.prepare()

    def newest_good() -> int | None:
        try:
            return checkpoints.newest_good()
        except UserError:
            if not allow_fresh:
                raise
            return None

    step = processes.from_first(newest_good)
    if step is None and session.last_step and not allow_fresh:
        _require_new(workdir, checkpoints, session)
    return step


def clear(workdir: Path, checkpoints: Checkpoints, step: int | None) -> None:
    """Puts aside what is damaged or, at a start, what is left of an earlier one.

    To be called once there is a state to go on with: a start that fails moves nothing.
    """
    checkpoints.set_aside(after=step or 0)
    if step is None and processes.is_first():
        for name in (METRICS, PROVENANCE):
            _keep_aside(workdir / name)


def _require_new(workdir: Path, checkpoints: Checkpoints, session: Session) -> None:
    """Refuses a run that says of itself that it has been saved, or has run."""
    if session.last_step:
        sign = f"{PROVENANCE} says that step {session.last_step} was saved"
    elif rows := read_metrics(workdir):
        sign = f"{METRICS} goes to step {max(row['step'] for row in rows)}"
    else:
        return
    raise UserError(
        f"{workdir} has lost its checkpoints: {sign}, but there is none in "
        f"{checkpoints.directory}; restore that folder from a copy, or begin again "
        "with --allow_fresh, which keeps the old metrics aside"
    )


def start(
    task: Task,
    key: Key,
    mesh: Mesh,
    checkpoints: Checkpoints,
    step: int | None,
    frozen: Callable[[], Params],
    batches: BatchStream,
) -> tuple[State, int]:
    """A new state, or that of a step with the data at its position.

    Returns:
        The state, and how many steps of the run were left out so far.
    """
    position = batches.get_state()
    first = place_batch(next(batches), mesh)
    batches.set_state(position)
    shapes = jax.eval_shape(task.init, key, first)
    shardings = state_shardings(shapes, mesh)
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
    try:
        batches.set_state(saved["batches"])
        skipped = int(saved.get("skipped", 0))  # not there: none could be
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"step {step} in {checkpoints.directory} has no position in the data that "
            f"can be read ({type(error).__name__}: {error}); train in a new work "
            "directory"
        ) from error
    logging.info("going on from step %d", step)
    return state, skipped


def _keep_aside(path: Path) -> None:
    """Renames a file that is not empty to the first free ``NAME.1``, ``NAME.2`` ..."""
    if not path.exists() or not path.stat().st_size:
        return
    count = 1
    while (other := path.with_name(f"{path.name}.{count}")).exists():
        count += 1
    path.rename(other)
    logging.warning(
        "%s is of an earlier start, of which no step is there; kept as %s", path, other
    )
