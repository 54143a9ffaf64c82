"""What `replay` found, in words and in files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio import outputs
from diffusion_audio.storage import write_whole, written_whole
from diffusion_audio.training.replay import Replayed

BATCH, DRAWN, STEP = "batch.npz", "drawn.npz", "step.json"
FIRST = 5  # parameters that are named


def lines(found: Replayed) -> Iterator[str]:
    """The step in words: its numbers, then a line for each clip."""
    start = f"the checkpoint of step {found.start}" if found.start else "the start"
    yield f"step       {found.step}, from {start}"
    for name, value in found.metrics.items():
        yield f"{name:<10} {value!r}"
    if found.gradients:
        broken, first = found.broken, ", ".join(found.broken[:FIRST])
        more = f" and {len(broken) - FIRST} more" if len(broken) > FIRST else ""
        count = f"{len(broken)} of {len(found.gradients)} not finite"
        yield f"gradients  {count}{': ' if broken else ''}{first}{more}"
    if found.logged is None:
        yield "logged     no"
    elif differences := found.differences:
        for name, (there, here) in differences.items():
            yield f"logged     {name} {there!r}, which is not {here!r}"
    else:
        yield "logged     the same, to the bit"
    shown = {name: x for name, x in found.drawn.items() if x.ndim == 1}
    for place, clip in enumerate(found.clips):
        told = "".join(f"  {name} {x[place]:.9g}" for name, x in shown.items())
        yield f"{place:>4}  {clip}{told}"


def require_writable(folder: str | Path, *, overwrite: bool) -> None:
    """Refuses a folder that must not be written to; before any work."""
    paths = [Path(folder) / name for name in (BATCH, DRAWN, STEP)]
    outputs.require_writable(paths, overwrite=overwrite)


def write(found: Replayed, folder: str | Path, *, overwrite: bool) -> None:
    """Writes the batch, what was drawn, and the numbers; audio as WAV too.

    The arrays are those of the step; WAV files are of 16 bits, for listening, and are
    not written of clips with samples that are not finite.

    Raises:
        UserError: a file must not be written.
    """
    from diffusion_audio.audio.files import write as write_audio

    folder = Path(folder)
    audio = found.batch.get("audio", np.zeros((0, 0), np.float32))
    waves = {
        folder / f"{place:03d}.wav": wave
        for place, wave in enumerate(audio)
        if np.isfinite(wave).all()
    }
    arrays: dict[Path, dict[str, Any]] = {
        folder / BATCH: found.batch,
        folder / DRAWN: found.drawn,
    }
    places = [*arrays, folder / STEP, *waves]
    outputs.require_writable(places, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    for path, named in arrays.items():
        with written_whole(path) as place, place.open("wb") as file:
            np.savez(file, **named)
    for path, wave in waves.items():
        write_audio(path, wave, found.sample_rate)
    record = {
        "step": found.step,
        "from": found.start,
        "clips": found.clips,
        "metrics": found.metrics,
        "gradients_not_finite": found.broken,
        "logged": found.logged,
    }
    write_whole(folder / STEP, json.dumps(record, indent=2) + "\n")
    for path in places:
        outputs.record(path, "replay")
