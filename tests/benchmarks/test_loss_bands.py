"""Bands of losses: as wide as seeds differ, and of one recipe."""

import json

import numpy as np
import pytest

from benchmarks import loss_bands
from diffusion_audio.errors import UserError
from diffusion_audio.runs.decisive import recipe_hash
from diffusion_audio.runs.resolve import resolve
from tests.recipes import recipe


def curve(seed, scale=1.0, steps=range(5, 626, 5)):
    rng = np.random.default_rng(seed)
    return {s: scale * np.exp(-s / 300 + rng.normal(0, 0.1)) for s in steps}


def inside(band, losses):
    return all(low <= losses[step] <= high for step, low, high in band)


def test_another_seed_is_within_and_another_course_is_not():
    band = loss_bands.band([curve(seed) for seed in (0, 1, 2)])
    assert len(band) == 12
    assert [step % 25 for step, _, _ in band] == [0] * 12
    assert (band[0][0], band[-1][0]) == (25, 625)
    assert all(inside(band, curve(seed)) for seed in range(3, 23))
    assert not any(inside(band, curve(seed, 2.5)) for seed in range(3, 23))
    with pytest.raises(UserError, match="3 seeds or more"):
        loss_bands.band([curve(0), curve(1)])


def test_runs_of_a_task_are_of_one_recipe(tmp_path):
    for seed in (0, 1, 2, 3):
        config = recipe("vae")
        config.seed = seed
        config.loss.kl_weight = 1e-4 if seed < 3 else 0.1
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(resolve(config)))
        rows = [
            {"step": s, "split": "train", "loss": x} for s, x in curve(seed).items()
        ]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    runs = [tmp_path / str(seed) for seed in (0, 1, 2)]
    found = {}
    exec(loss_bands.module(loss_bands.bands(runs)), found)
    assert found["VAE"]["recipe"] == recipe_hash(resolve(recipe("vae")))
    assert len(found["VAE"]["loss"]) == 12
    with pytest.raises(UserError, match="another recipe than the vae before it"):
        loss_bands.bands([*runs, tmp_path / "3"])
