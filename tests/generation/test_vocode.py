"""Copy synthesis in windows, through converted weights."""

import dataclasses

import jax
import numpy as np
import pytest

from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.mel_range import log_floor
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.generation.vocode import (
    load_voice,
    resynthesize,
)
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.pretrained import folder
from tests.networks import random_params

SPEC = AudioSpec(sample_rate=8000, n_fft=32, win_length=32, hop_length=8, n_mels=5)
CFG = HiFiGANConfig(
    n_mels=5,
    channels=8,
    rates=(4, 2),
    kernels=(8, 4),
    resblock="2",
    resblock_kernels=(3,),
    dilations=((1, 2),),
    init="preserving",
    input_shift=-5.0,
)
LENGTHS = (999, 4001, 40)  # the last is shorter than a window


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    params = random_params(build_hifigan(CFG))
    vocoder = {"name": "hifigan", **dataclasses.asdict(CFG)}
    config = {"task": "vocoder", "audio": SPEC.to_dict(), "vocoder": vocoder}
    folder.write(path, config, {"vocoder": params})
    return path, params


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(n).astype(np.float32) for n in LENGTHS]


def test_windows_of_many_clips_are_each_clip_at_once(weights, clips):
    path, params = weights
    vocoder = load_voice(path)
    blocks = ((i, np.array_split(clip, 5)) for i, clip in enumerate(clips))
    made = {
        i: np.concatenate(list(waves))
        for i, waves in resynthesize(vocoder, blocks, seconds=0.05, batch_size=3)
    }
    assert [len(made[i]) for i in range(3)] == list(LENGTHS)
    wholes = np.stack([np.pad(clip, (0, 4800 - len(clip))) for clip in clips])
    waves = jax.jit(build_hifigan(CFG).apply)(params, log_mel(SPEC, wholes))
    for i, clip in enumerate(clips):
        wave = waves[i, : len(clip)]
        np.testing.assert_allclose(made[i], wave, atol=1e-5)
        assert np.std(wave) > 1e-3


def test_windows_of_mels_are_the_mel_at_once(weights, clips):
    path, params = weights
    vocoder = load_voice(path)
    rng = np.random.default_rng(1)
    mels = [rng.normal(-4, 2, (n, 5)).astype(np.float32) for n in (300, 7, 131)]
    mixed = {"a": mels[0], "wave": clips[0], "b": mels[1], "c": mels[2]}
    blocks = ((name, np.array_split(clip, 3)) for name, clip in mixed.items())
    made = {
        name: np.concatenate(list(waves))
        for name, waves in resynthesize(vocoder, blocks, seconds=0.05, batch_size=3)
    }
    assert [len(made[name]) for name in mixed] == [300 * 8, 999, 7 * 8, 131 * 8]
    silence = np.full((60, 5), log_floor(SPEC), np.float32)
    for name in ("a", "b", "c"):
        whole = np.concatenate([mixed[name], silence])[None]
        wave = build_hifigan(CFG).apply(params, whole)[0, : len(made[name])]
        np.testing.assert_allclose(made[name], wave, atol=1e-5)
    alone = resynthesize(vocoder, [("wave", [clips[0]])], seconds=0.05, batch_size=1)
    [(_, waves)] = ((name, list(waves)) for name, waves in alone)
    np.testing.assert_allclose(made["wave"], np.concatenate(waves), atol=1e-5)


def test_a_run_of_another_task_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"task": "vae", "audio": {"sample_rate": 8000}}'
    )
    with pytest.raises(UserError, match="of task 'vae'; give a vocoder's run"):
        load_voice(tmp_path)
