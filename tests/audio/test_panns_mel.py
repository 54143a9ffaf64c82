"""PANNs' mels are librosa's, at any length and level."""

import functools

import jax
import librosa
import numpy as np
import pytest

from diffusion_audio.audio.panns_mel import PANNS_16K, PannsMel, panns_mel
from diffusion_audio.errors import UserError

TINY = PannsMel(8000, 128, 40, 6, 100.0, 3500.0)


def waves(samples, rate):
    """Noise loud and faint, a full tone that fades, a click, a constant, silence."""
    rng = np.random.default_rng(0)
    time = np.arange(samples) / rate
    click = np.zeros(samples)
    click[samples // 3] = 1.0
    found = [
        rng.uniform(-1, 1, samples),
        1e-4 * rng.uniform(-1, 1, samples),
        np.sin(2 * np.pi * 440 * time) * np.linspace(1, 0, samples) ** 4,
        click,
        np.full(samples, 0.7),
        np.zeros(samples),
    ]
    return np.stack(found).astype(np.float32)


def librosas(cfg, wave):
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=cfg.sample_rate,
        n_fft=cfg.n_fft,
        hop_length=cfg.hop_length,
        n_mels=cfg.n_mels,
        fmin=cfg.fmin,
        fmax=cfg.fmax,
        pad_mode="reflect",
        dtype=np.float64,
    )
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None).T


@pytest.mark.filterwarnings("ignore:n_fft=128 is too large")
@pytest.mark.parametrize(
    ("cfg", "samples"),
    [(TINY, 65), (TINY, 1000), (TINY, 1039), (PANNS_16K, 4000), (PannsMel(), 8001)],
)
def test_librosas_decibels(cfg, samples):
    sounds = waves(samples, cfg.sample_rate)
    ours = jax.jit(functools.partial(panns_mel, cfg))(sounds)
    assert ours.dtype == np.float32
    expected = np.stack([librosas(cfg, wave) for wave in sounds])
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_what_is_refused():
    with pytest.raises(UserError, match="65 samples or more, got 64"):
        panns_mel(TINY, np.zeros((1, 64), np.float32))
    with pytest.raises(UserError, match="fmax"):
        PannsMel(16_000, fmax=9000.0)
