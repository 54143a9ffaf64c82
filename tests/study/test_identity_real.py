"""Real probes at a tiny size: what is renamed keeps runs, what is changed does not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_audio.diffusion import grid
from diffusion_audio.diffusion.solvers import dpm_solver
from diffusion_audio.evaluation import metrics, posteriors
from diffusion_audio.study import execute, fingerprint, measure
from diffusion_audio.training import run
from diffusion_audio.training.tasks import diffusion, vae
from tests.recipes import tiny

ROOT = Path(__file__).parents[2]


def config(task, **components):
    """A tiny config, as a plan resolves it."""
    made = tiny(task, "tones")
    made.data.batch_size = 2
    if task == "diffusion":
        made.data.cache_latents = True
        made.conditioners.text.max_tokens = 96
        made.listen.prompts = ()
    plain = json.loads(made.to_json_best_effort())
    return {
        **plain,
        "audio": {"preset": "tones_16k"},
        **({"components": components} if "components" in plain else {}),
    }


def twice(function):
    """A function whose result is a little larger."""
    return lambda *inputs, **options: function(*inputs, **options) * 1.001


@pytest.mark.slow
def test_a_real_probe():
    numbers = fingerprint.of_training(config("vae")).numbers
    expected = {"loss", "kl", "grad_norm", "ema, moved", "evaluation, mel_l1"}
    assert expected <= numbers.keys()
    assert len(numbers["loss"]) == len(numbers["probe step"]) == 3


@pytest.mark.slow
def test_a_changed_loss_is_seen(monkeypatch):
    before = fingerprint.of_training(config("vae"))
    monkeypatch.setattr(vae, "kl", twice(vae.kl))
    assert "kl" in fingerprint.change(before, fingerprint.of_training(config("vae")))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classifier", "vocoder", "diffusion"])
def test_a_probe_of_each_task_comes_out_the_same_again(task):
    parts = {"autoencoder": config("vae")} if task == "diffusion" else {}
    before, after = (
        fingerprint.of_training(config(task, **parts) | {"seed": seed})
        for seed in (0, 1)
    )
    assert before == after


@pytest.mark.slow
def test_a_changed_loss_of_diffusion_is_seen(monkeypatch):
    whole = config("diffusion", autoencoder=config("vae"))
    before = fingerprint.of_training(whole)
    monkeypatch.setattr(diffusion, "example_losses", twice(diffusion.example_losses))
    assert "was" in fingerprint.change(before, fingerprint.of_training(whole))


PROBE = """
import json, sys
from diffusion_audio.runs import code_hash
from diffusion_audio.study import fingerprint
from diffusion_audio.runs.workdir import write_json
from pathlib import Path
config = json.loads(sys.argv[1])
found = fingerprint.of_training(config)._asdict()
found["code"] = code_hash.code_hash("training.run")
print(json.dumps(found))
"""


def probed_in(root):
    """What the package in a folder computes, and the hash of its source text."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(config("vae"))],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout)
    return found["code"], fingerprint.Fingerprint(
        found["numbers"], found["environment"]
    )


@pytest.mark.slow
def test_renaming_and_moving_keeps_runs(tmp_path):
    shutil.copytree(ROOT / "diffusion_audio", tmp_path / "diffusion_audio")
    moves = {
        "training.update": "training.downhill",
        "accumulated": "in_pieces",
        "training import ema": "training import averaging as ema",
        "sample_moments": "draw_latents",
        "reconstruction = ": "rebuilding = reconstruction = ",
    }
    for path in (tmp_path / "diffusion_audio").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for old, new in moves.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    training = tmp_path / "diffusion_audio" / "training"
    (training / "update.py").rename(training / "downhill.py")
    (training / "ema.py").rename(training / "averaging.py")
    (code, before), (other, after) = probed_in(ROOT), probed_in(tmp_path)
    assert code != other
    assert fingerprint.change(before, after) == ""
    text = (training / "averaging.py").read_text()
    (training / "averaging.py").write_text(text.replace("10.0 + n", "11.0 + n"))
    assert "was" in fingerprint.change(before, probed_in(tmp_path)[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of seconds: what measures a diffusion model, and how."""
    root = tmp_path_factory.mktemp("runs")
    for task in ("classifier", "vocoder", "vae"):
        run.train(config(task), root / task)
    whole = config("diffusion", autoencoder=str(root / "vae"), vocoder="")
    run.train(whole, root / "diffusion")
    return root, whole["sampling"]


def measure_run(trained, **options):
    root, sampling = trained
    return measure.measure_run(
        root / "diffusion",
        vocoder=root / "vocoder",
        classifier=root / "classifier",
        sampling=sampling,
        split="held_out",
        prompts=20,
        sampling_seeds=(0, 1),
        **options,
    )


def earlier(*inputs, timesteps=grid.timesteps):
    """A grid whose times are one step nearer to the data."""
    return np.maximum(timesteps(*inputs) - 1, 0)


CHANGES = {
    "solver": (dpm_solver, "_midpoint", twice(dpm_solver._midpoint)),
    "grid": (grid, "timesteps", earlier),
    "eps of a metric": (posteriors, "EPS", 1e-5),
    "floor of a metric": (metrics, "LSD_EPS", 1e-9),
}


@pytest.mark.slow
def test_a_changed_sampler_or_metric_is_seen(trained, monkeypatch):
    def probe(**options):
        return execute._fingerprint(measure_run(trained, **options))

    whole = probe()
    # The first sounds are the same whatever else is made.
    assert fingerprint.change(whole, probe(probe_only=True)) == ""
    for name, changed in CHANGES.items():
        with monkeypatch.context() as patch:
            patch.setattr(*changed)
            found = fingerprint.change(whole, probe(probe_only=True))
        assert " was " in found, name
