"""In the place of training and measuring: what they leave behind, in no time."""

import json
import zlib

import numpy as np

from diffusion_audio.runs.session import PROVENANCE
from diffusion_audio.runs.workdir import provenance, write_json
from diffusion_audio.study import execute, identity
from diffusion_audio.study.fingerprint import Fingerprint, environment
from diffusion_audio.study.measure import Measurement
from tests.study.example_study import protocol

METRICS = ("adherence", "kernel", "mel_l1")
SAMPLES = 1024


def train(config, workdir, progress):
    """In the place of training: what a run leaves behind, in no time."""
    view = progress("stub", config["train"]["steps"], 0)
    view.update(config["train"]["steps"])
    workdir.mkdir(parents=True, exist_ok=True)
    first = provenance(["stub"]) | {"seconds": {"step": 3.0, "compile": 1.0}}
    first |= {"first_step": 1, "last_step": 1}
    second = first | {"commit": "c" * 40, "seconds": {"step": 2.0}}
    second |= {"first_step": 2, "last_step": 2}
    write_json(workdir / PROVENANCE, {"sessions": [first, second]})
    row = {"step": 1, "split": "train", "loss": 0.5}
    (workdir / "metrics.jsonl").write_text(json.dumps(row) + "\n")


def probe(config):
    """In the place of probing: a number that follows from the config."""
    text = json.dumps(config | {"seed": 0}, sort_keys=True)
    numbers = {"loss": [1.0 + zlib.crc32(text.encode()) / 2**32, 1.0]}
    return Fingerprint(numbers, environment())


def stand_in(patch):
    """Puts these in the place of what takes minutes."""
    patch.setattr(execute.run, "train", train)
    patch.setattr(execute, "measure_run", measure_run)
    patch.setattr(identity, "of_training", probe)


def measure_run(run_dir, *, sampling, prompts, sampling_seeds, advance, **options):
    """In the place of measuring: values that follow from the run and the sampling."""
    del options
    text = f"{run_dir.name} {sampling['guidance']}"
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    advance(prompts)
    shapes = {m: 1 if m == "kernel" else prompts for m in METRICS}
    values = {m: rng.uniform(0.2, 0.8, size) for m, size in shapes.items()}
    return Measurement(
        values=values,
        protocols={m: protocol(m) for m in METRICS},
        captions=[f"<i>caption {i}</i>" for i in range(prompts)],
        waves=rng.uniform(-0.5, 0.5, (len(sampling_seeds), prompts, SAMPLES)),
        real=np.zeros((prompts, SAMPLES)),
        sample_rate=16_000,
        probe={m: numbers[:16] for m, numbers in values.items()},
    )
