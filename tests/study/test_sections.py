"""What a report says of the runs that its numbers rest on."""

import json

from diffusion_audio.runs.resolve import COMPONENTS
from diffusion_audio.study.sections import training_curves


def test_every_run_that_a_model_stands_on_has_its_curves(tmp_path):
    row = {"step": 3, "split": "train", "loss": 1.0, "kl": 0.5, "mel": 0.2}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    names = (*COMPONENTS, "classifier", "diffusion")
    found = training_curves(dict.fromkeys(names, tmp_path))
    drawn = [[name for name, svg in run.curves if svg is not None] for run in found]
    assert drawn == [["kl"], ["mel"], *[["loss"]] * 4]
