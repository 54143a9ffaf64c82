"""Makes a run of today's format, for tests of later versions to read.

python -m tests.archived.make tests/archived/format_N

To be run once for each format of run directories, before it is changed. A format that
was released is never made again.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.evaluation.attribute_classifier import load_attribute_classifier
from diffusion_audio.runs import manifest
from diffusion_audio.training import run
from tests.recipes import recipe

SAMPLES, RATE = 2048, 16_000


def tone(hertz: float) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE)


def make_clips(root: Path) -> None:
    """Two clips to train on and two to evaluate on."""
    root.mkdir()
    rows = ["file_name,caption,split,pitch"]
    for i, (pitch, hertz) in enumerate([("low", 220), ("high", 880)] * 2):
        soundfile.write(root / f"{i}.wav", tone(hertz + i), RATE)
        split = "train" if i < 2 else "validation"
        rows.append(f"{i}.wav,a {pitch} tone,{split},{pitch}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")


def config(steps: int):
    """A classifier of a few hundred parameters, of clips in the folder ``audio``."""
    made = recipe("classifier")
    made.data.update(source="folder:audio", seconds=SAMPLES / RATE, batch_size=2)
    made.data.labels = ("pitch",)
    made.classifier.update(classes=(2,), channels=(2, 2), embedding=2, groups=1)
    made.train.update(steps=steps, log_every=1, keep=1)
    made.parallel.data = 1
    return made


def scores(workdir: Path) -> list[list[float]]:
    """What the classifier of a run says of two tones."""
    classifier = load_attribute_classifier(workdir, PRESETS["tones_16k"])
    audio = np.stack([tone(220), tone(880)]).astype(np.float32)
    (found,) = classifier(audio)
    return np.asarray(found).tolist()


def _forget_place(checkpoints: Path) -> None:
    """Orbax notes where it saved, which is nobody's business."""
    for step in (checkpoints / "steps").iterdir():
        for path in step.rglob("commit_success.txt"):
            path.write_text("Checkpoint commit was successful")
        manifest.write(step, checkpoints / "manifests" / f"{step.name}.json")


def main(place: Path) -> None:
    """Trains in a folder of its own, so that the run names no other."""
    place = place.absolute()
    sys.argv = ["tests.archived.make"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_clips(Path("audio"))
        run.train(config(2), "run")
        expected = {"scores": scores(Path("run"))}
        shutil.rmtree("run/tensorboard")
        Path("run/.lock").unlink()
        _forget_place(Path("run/checkpoints"))
        shutil.copytree("run", place / "run")
        os.chdir(place)
    text = json.dumps(expected, indent=1)
    (place / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
