"""A run goes on over one, two, four or eight devices: the same data, noise and loss."""

import os
import subprocess
import sys

import pytest

from diffusion_audio.runs.metric_log import read_metrics
from tests.recipes import folder_of_audio
from tests.test_layers import ROOT
from tests.training.test_together import QUICK

WHOLE, LAYOUTS = "2,1", ("1,1", "4,1", "8,1", "1,2", "1,8", "2,4")
PROGRAM = """
import shutil, sys
from pathlib import Path
from diffusion_audio.progress import NoView
from diffusion_audio.training import parallel, run
from tests.recipes import tiny
parallel.SMALLEST_SPLIT = 64
place, source, whole, *layouts = sys.argv[1:]

def train(layout):
    config = tiny("vae", source, steps=6)
    config.data.batch_size = 8
    config.train.update(evaluate_every=2, checkpoint_every=3)
    config.parallel.data, config.parallel.fsdp = map(int, layout.split(","))
    run.train(config, Path(place, layout), NoView)

train(whole)
for layout in layouts:
    shutil.copytree(Path(place, whole), Path(place, layout))
    shutil.rmtree(Path(place, layout, "checkpoints/steps/6"))
    train(layout)
"""


@pytest.mark.slow
def test_what_two_devices_saved_goes_on_over_any_number(tmp_path):
    source = folder_of_audio(tmp_path / "audio")
    eight = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), source, WHOLE, *LAYOUTS],
        env=os.environ | {"XLA_FLAGS": f"{QUICK} {eight}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("of step 6 passed over") == len(LAYOUTS)
    wanted = read_metrics(tmp_path / WHOLE)
    assert [row["step"] for row in wanted if row["split"] == "train"] == [*range(1, 7)]
    for layout in LAYOUTS:
        found = read_metrics(tmp_path / layout)
        assert len(found) == len(wanted)
        for row, same in zip(found, wanted, strict=True):
            assert row.pop("split") == same["split"]
            assert row == pytest.approx({key: same[key] for key in row}, rel=1e-6)
