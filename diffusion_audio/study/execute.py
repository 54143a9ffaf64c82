"""An experiment's runs made: what is finished is kept, what was stopped goes on.

Machines that share a folder may work on one experiment: each run is made by whoever
locks it first, and the others wait. The lock is the system's own, so it ends with the
process that holds it, however it ends.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from diffusion_audio.audio.decoders import here
from diffusion_audio.data.open import open_source
from diffusion_audio.errors import UserError
from diffusion_audio.progress import Part, ProgressView
from diffusion_audio.runs.lock import locked
from diffusion_audio.runs.session import Stopwatch, sessions
from diffusion_audio.runs.workdir import provenance, write_json
from diffusion_audio.storage import written_whole
from diffusion_audio.study import identity
from diffusion_audio.study.fingerprint import Fingerprint, environment
from diffusion_audio.study.identity import FINISHED, NUMBERS
from diffusion_audio.study.measure import Measurement, measure_run
from diffusion_audio.study.plan import Cell, Plan, Training
from diffusion_audio.training import run

WAVES = "waves.npy"
REAL = "real.npy"


def execute(plan: Plan, cells: list[Cell], runs: Path, name: str) -> None:
    """Trains and measures what is not there yet.

    Args:
        plan: of the experiment.
        cells: those to make, all or a shard.
        runs: where runs are.
        name: shown in the progress view.

    Raises:
        UserError: some cannot be made; all the others are.
        Interrupted: a signal came; the same call goes on.
    """
    runs.mkdir(parents=True, exist_ok=True)
    unmeasured = [c for c in cells if identity.locate(c, runs).state != "done"]
    _require_clips(plan, unmeasured)
    needed = plan.trainings(cells)
    left = [t for t in needed if identity.check(t, runs).state != "done"]
    steps = sum(training.steps for training in left)
    total = steps + plan.clips * len(unmeasured)
    compared = {cell.training.id for cell in cells}
    failed: list[str] = []
    done = 0
    with closing(ProgressView(f"{name}: steps and clips", total)) as view:
        for training in left:
            part = Part(view, done)
            if training.id in compared:
                _attempt(training.name, failed, _train, training, runs, part)
            else:  # others stand on it
                _train(training, runs, part)
            done += training.steps
        for cell in unmeasured:
            view.update(done)
            if identity.locate(cell.training, runs).state == "done":
                _attempt(cell.name, failed, _measure, plan, cell, runs, view.advance)
            done += plan.clips
    if failed:
        raise UserError(
            f"{len(failed)} failed, all else is done: {'; '.join(failed)}; mend these "
            "and run it again, or leave them out of the spec and say so"
        )


def _attempt(
    name: str, failed: list[str], work: Callable[..., None], *inputs: Any
) -> None:
    """Does a piece of work; one that cannot be done does not keep the others back."""
    try:
        work(*inputs)
    except UserError as error:
        logging.error("%s: %s", name, error)
        failed.append(f"{name} ({error})")


def _require_clips(plan: Plan, cells: list[Cell]) -> None:
    """Refuses a split that there is not, or more prompts than it has clips."""
    experiment = plan.experiment
    for name in {cell.training.config["data"]["source"] for cell in cells}:
        clips = len(open_source(name, experiment.split, decode=here))  # of none
        if clips < experiment.prompts:
            raise UserError(
                f"prompts={experiment.prompts}, but the split {experiment.split!r} of "
                f"{name} has {clips} clips; ask for that many or fewer"
            )


def measure_cell(
    plan: Plan,
    cell: Cell,
    runs: Path,
    advance: Callable[[int], None] = lambda clips: None,
    *,
    probe_only: bool = False,
) -> Measurement:
    """Makes the sounds and numbers of a cell whose run is done; see `measure_run`."""
    experiment = plan.experiment
    made = {n: identity.locate(part, runs).directory for n, part in cell.parts.items()}
    return measure_run(
        made["run"],
        vocoder=made.get("vocoder"),
        classifier=made["classifier"],
        sampling=cell.sampling,
        split=experiment.split,
        prompts=experiment.prompts,
        sampling_seeds=experiment.sampling_seeds,
        advance=advance,
        probe_only=probe_only,
    )


def _train(training: Training, runs: Path, part: Part) -> None:
    with _locked(runs / training.directory):
        place = identity.begin(training, runs)
        if place.state == "done":  # another process was first
            return
        directory = place.directory
        _say(training.name, place)
        logging.info("training %s in %s", training.name, directory)
        config = dict(training.config)
        if "components" in config:
            config["components"] = {
                name: str(identity.locate(component, runs).directory)
                for name, component in training.parts.items()
            }
        run.train(config, directory, lambda name, total, done: part)
        record = {"sessions": sessions(directory), "id": training.id}
        shutil.rmtree(directory / "latents", ignore_errors=True)  # only a cache
        write_json(directory / FINISHED, record)
        jax.clear_caches()


def _measure(
    plan: Plan, cell: Cell, runs: Path, advance: Callable[[int], None]
) -> None:
    def probe() -> Fingerprint:
        return _fingerprint(measure_cell(plan, cell, runs, probe_only=True))

    with _locked(runs / cell.directory):
        if identity.check(cell, runs, probe).state == "done":
            return
        logging.info("measuring %s", cell.name)
        clock = Stopwatch()
        found = measure_cell(plan, cell, runs, advance)
        clock.lap("listen")  # see `results.RECORD`
        place = identity.begin(cell, runs, lambda: _fingerprint(found))
        directory = place.directory
        _say(cell.name, place)
        _save(directory / WAVES, found.waves)
        _save(directory / REAL, found.real)
        record = provenance() | {
            "id": cell.id,
            "run": cell.training.id,
            "seconds": clock.seconds,
            "captions": found.captions,
            "sample_rate": found.sample_rate,
            "values": {name: v.tolist() for name, v in found.values.items()},
            "protocols": {name: p.to_dict() for name, p in found.protocols.items()},
        }
        write_json(directory / NUMBERS, record)
        jax.clear_caches()


def _fingerprint(found: Measurement) -> Fingerprint:
    """What measuring computes: of a few clips, every measure of every one."""
    probe = {name: values.tolist() for name, values in found.probe.items()}
    return Fingerprint(probe, environment())


def _say(name: str, place: identity.Place) -> None:
    """Why something is made though one like it is there."""
    if place.changed:
        logging.warning("%s: %s", name, place.changed)


def _locked(directory: Path) -> AbstractContextManager[None]:
    """Holds a directory, which need not exist yet; waits while another process does."""
    path = directory.with_name(f".{directory.name}.lock")
    return locked(path, str(directory), wait=True)


def _save(path: Path, waves: np.ndarray) -> None:
    """Writes waves as int16, whole or not at all."""
    finite = np.nan_to_num(np.clip(waves, -1.0, 1.0))
    with written_whole(path) as place, place.open("wb") as file:
        np.save(file, np.round(finite * 32767).astype(np.int16), allow_pickle=False)
