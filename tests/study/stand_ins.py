"""In the place of training and listening: what they leave behind, in no time."""

import json
import zlib

import numpy as np

from diffusion_audio.study.measure import Heard
from diffusion_audio.training.session import PROVENANCE
from diffusion_audio.training.workdir import provenance, write_json
from tests.study.example_study import protocol

METRICS = ("adherence", "kernel", "mel_l1")
SAMPLES = 1024


def train(config, workdir, progress):
    """In the place of training: what a run leaves behind, in no time."""
    view = progress("stub", config["train"]["steps"], 0)
    view.update(config["train"]["steps"])
    workdir.mkdir(parents=True, exist_ok=True)
    first = provenance(["stub"]) | {"seconds": {"step": 3.0, "compile": 1.0}}
    second = first | {"commit": "c" * 40, "seconds": {"step": 2.0}}
    write_json(workdir / PROVENANCE, {"sessions": [first, second]})
    row = {"step": 1, "split": "train", "loss": 0.5}
    (workdir / "metrics.jsonl").write_text(json.dumps(row) + "\n")


def hear(run_dir, *, sampling, prompts, sampling_seeds, progress, **tools):
    """In the place of listening: values that follow from the run and the sampling."""
    del tools
    text = f"{run_dir.name} {sampling['guidance']}"
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    progress(prompts)
    shapes = {m: 1 if m == "kernel" else prompts for m in METRICS}
    return Heard(
        values={m: rng.uniform(0.2, 0.8, size) for m, size in shapes.items()},
        protocols={m: protocol(m) for m in METRICS},
        captions=[f"<i>caption {i}</i>" for i in range(prompts)],
        waves=rng.uniform(-0.5, 0.5, (len(sampling_seeds), prompts, SAMPLES)),
        real=np.zeros((prompts, SAMPLES)),
        sample_rate=16_000,
    )
