"""The first losses of every recipe, at tiny widths on the CPU; kept to the last bit.

``JAX_PLATFORMS=cpu python -m tests.training.golden_losses OUT`` writes a file for each.
To be run after a change that is meant to change them, or with new versions, into
``tests/training/golden``; what changes in the files is part of the review.
"""

import json
import sys
import tempfile
from pathlib import Path

from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.study.fingerprint import environment
from diffusion_audio.training import run
from tests.recipes import folder_of_audio, label, tiny

STEPS = 100
# Of each task what the demo trains, and a flow in the place of the chain.
RECIPES = {
    "classifier": ("classifier", "tones"),
    "vae": ("vae", "tones"),
    "vocoder": ("vocoder", "tones"),
    "diffusion": ("diffusion", "tones"),
    "diffusion_flow": ("diffusion", "tones,flow"),
}


def losses(task: str, preset: str, root: Path) -> list[float]:
    """The loss of each step of a run on six short clips."""
    source = folder_of_audio(root / "audio", rate=16_000, channels=1)
    config = tiny(task, source, STEPS, preset)
    config.train.update(checkpoint_every=STEPS, watchdog=0.0)
    if task == "classifier":
        label(root / "audio", config)
        config.classifier.update(n_mels=64, channels=(4, 8), embedding=8, groups=2)
    if task == "diffusion":  # of patches of the mel
        config.denoiser.update(in_channels=64, out_channels=64)
        config.listen.captions = 1
    run.train(config, root / "run")
    rows = read_metrics(root / "run")
    return [row["loss"] for row in rows if row["split"] == "train"]


def main(out: Path) -> None:
    """Writes them all."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (task, preset) in RECIPES.items():
        with tempfile.TemporaryDirectory() as place:
            found = losses(task, preset, Path(place))
        record = {"environment": environment(), "losses": found}
        text = json.dumps(record, indent=1, sort_keys=True)
        (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
