"""Which checkpoint of a run is read: the newest of RUN, or RUN@best, or RUN@STEP.

One text says it wherever a run is named to be read, in a flag, a config or Python.
"""

from pathlib import Path
from typing import NamedTuple

from diffusion_audio.errors import UserError
from diffusion_audio.outputs import CHECKPOINTS
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.retention import best_step
from diffusion_audio.runs.workdir import read_config

BEST = "best"


class Chosen(NamedTuple):
    """A model, and which of its checkpoints.

    Attributes:
        place: work directory of a run; or any other model, which has no steps.
        step: of the checkpoint; None for the newest good one.
    """

    place: Path
    step: int | None = None

    def __str__(self) -> str:
        return str(self.place) if self.step is None else f"{self.place}@{self.step}"


def split(model: str | Path) -> tuple[Path, str]:
    """The place of a model, and what is said of its checkpoint; empty without that.

    What is there by the whole name, @ and all, is meant by it.
    """
    place = Path(model)
    head, _, said = str(place).rpartition("@")
    named = head and (said == BEST or (said.isascii() and said.isdecimal()))
    return (Path(head), said) if named and not place.exists() else (place, "")


def choose(model: str | Path) -> Chosen:
    """A model with its checkpoint, which is there if one is said.

    Args:
        model: a place, ``RUN@best`` or ``RUN@STEP``.

    Raises:
        UserError: it is no run, has no such step, or nothing says which is its best.
    """
    place, said = split(model)
    if not said:
        return Chosen(place)
    if not (place / CHECKPOINTS).is_dir():
        what = "has no steps to choose from" if place.exists() else "is not here"
        raise UserError(
            f"{place} {what}: @{said} is for work directories of runs; published and "
            "converted weights go by their names alone"
        )
    with Checkpoints(place / CHECKPOINTS) as checkpoints:
        steps = checkpoints.known()
    if said != BEST and int(said) not in steps:
        raise UserError(f"{place} has no checkpoint of step {said}; {_there(steps)}")
    return Chosen(place, _best(place, steps) if said == BEST else int(said))


def _best(run: Path, steps: list[int]) -> int:
    train = read_config(run).get("train", {})
    if not (metric := train.get("keep_best")):
        raise UserError(
            f"{run} was trained without config.train.keep_best, so nothing says which "
            f"checkpoint is its best; {_there(steps)}"
        )
    step = best_step(read_metrics(run), steps, metric, train["best"])
    if step is None:
        raise UserError(
            f"no checkpoint of {run} has a finite {metric} by which it could be the "
            f"best; {_there(steps)}"
        )
    return step


def _there(steps: list[int]) -> str:
    return f"those there are: {', '.join(map(str, steps)) or 'none yet'}"
