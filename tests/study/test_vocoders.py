"""Vocoders compared with each other, by resynthesis of real clips."""

import dataclasses
import json

import numpy as np
import pytest

from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.measures import Reference
from diffusion_audio.generation.vocode import load_voice
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.pretrained import folder
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.study import measure, plan, spec
from tests.networks import random_params
from tests.recipes import recipe
from tests.study import tiny_experiment
from tests.study.test_specs import EXPERIMENTS

SPEC = """
from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Which discriminator?",
    base="{root}/vocoder.py",
    baseline="both",
    common={{"loss.discriminator_start": 0}},
    variants={{"MPD alone": {{"discriminators": {{"mpd": {{"channels": (2, 4)}}}}}}}},
    classifier="{root}/classifier.py",
    vocoder="",
    metrics={{"mel_l1": "lower", "log_spectral_distance": "lower"}},
    seeds=(0, 1),
    prompts=16,
    examples=2,
)
"""


@pytest.fixture
def directory(tmp_path):
    made = tiny_experiment.make(tmp_path, steps=1)
    (made / "spec.py").write_text(SPEC.format(root=tmp_path))
    return made


def test_no_vocoder_is_trained_beside_those_compared(directory):
    made = plan.make_plan(spec.load(directory))
    assert [tool.task for tool in made.tools.values()] == ["classifier"]
    assert [cell.training.task for cell in made.cells] == ["vocoder"] * 4
    assert all(cell.sampling == {} for cell in made.cells)


def test_what_vocodes_what_must_be_clear(directory, monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    experiment = spec.load(directory)
    for change in (
        {"vocoder": "configs/vocoder.py:tones"},
        {
            "base": "configs/diffusion.py:tones",
            "variants": {"x": {"sampling.guidance": 2.0}},
            "common": {},
        },
    ):
        with pytest.raises(UserError, match='give vocoder="" where they are vocoders'):
            plan.make_plan(dataclasses.replace(experiment, **change))


def test_a_vocoder_resynthesizes_clips(tmp_path):
    config = resolve(recipe("vocoder"))
    config["vocoder"]["channels"] = 8
    cfg = folder.generator_config(config)
    params = random_params(build_hifigan(cfg))
    folder.write(tmp_path, config, {"vocoder": params})
    audio = np.random.default_rng(0).uniform(-0.1, 0.1, (3, 16_384)).astype("f4")
    voice = measure.resynthesis(load_voice(tmp_path), 1.024)
    waves = np.concatenate(list(voice.sound(Reference(["a"] * 3, audio, "", None), 0)))
    assert waves.shape == (3, 16_384)
    assert voice.spec.sample_rate == 16_000
    assert all(np.std(wave) > 0 for wave in waves)
    assert np.abs(waves[0] - waves[1]).max() > 0


@pytest.mark.slow
def test_a_whole_experiment_of_vocoders(directory, tmp_path, capsys):
    words = [str(directory), f"--runs={tmp_path / 'runs'}"]
    assert main(["experiment", "run", *words]) == 0
    records = json.loads((directory / "results.json").read_text())["runs"]
    assert {(r["system"], r["seed"]) for r in records} == {
        (system, seed) for system in ("both", "MPD alone") for seed in (0, 1)
    }
    assert all(np.isfinite(r["values"]["mel_l1"]).all() for r in records)
    assert main(["experiment", "page", *words]) == 0
    capsys.readouterr()
