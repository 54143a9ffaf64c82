"""CLAP's mels against transformers' ClapFeatureExtractor."""

import numpy as np
import pytest

from diffusion_audio.audio.clap_mel import clap_mel
from diffusion_audio.pretrained import config_file
from diffusion_audio.pretrained.clap_mel_config import clap_mel_config

pytestmark = pytest.mark.parity

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def waves(samples):
    """Noise, a loud tone over silence, a click, and silence."""
    rng = np.random.default_rng(0)
    time = np.arange(samples) / 48_000
    click = np.zeros(samples)
    click[samples // 3] = 1.0
    return {
        "noise": rng.uniform(-1, 1, samples),
        "tone": np.sin(2 * np.pi * 1000 * time) * np.hanning(samples),
        "click": click,
        "silence": np.zeros(samples),
    }


def both(tmp_path, monkeypatch, wave, places, **options):
    extractor = transformers.ClapFeatureExtractor(**options)
    extractor.save_pretrained(tmp_path)
    config = config_file.read(tmp_path / "preprocessor_config.json")
    monkeypatch.setattr(
        np.random, "choice", lambda r: r[round(places.pop(0) * (len(r) - 1))]
    )
    monkeypatch.setattr(
        np.random, "randint", lambda low, end: round(places[0] * (end - 1 - low))
    )
    given = tuple(places)
    theirs = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="np")
    ours = clap_mel(clap_mel_config(config, "it"), wave, given)
    return ours, theirs


@pytest.mark.parametrize("truncation", ["fusion", "rand_trunc"])
@pytest.mark.parametrize(
    "seconds", [0.05, 0.7, 1.0, 1.001, 1.005, 1.011, 1.02, 1.035, 2.9, 13.0]
)
def test_lengths(tmp_path, monkeypatch, truncation, seconds):
    samples = round(seconds * 48_000)
    options = {"truncation": truncation, "max_length_s": 1, "frequency_min": 50}
    for wave in waves(samples).values():
        ours, theirs = both(tmp_path, monkeypatch, wave, [0.5, 0.2, 1.0], **options)
        expected = theirs["input_features"][0].transpose(1, 2, 0)
        np.testing.assert_allclose(ours.mel, expected, atol=1e-5, rtol=1e-6)
        if truncation == "rand_trunc":
            assert ours.longer == theirs["is_longer"][0, 0]


@pytest.mark.parametrize("padding", ["repeat", "pad", "repeatpad"])
def test_paddings_and_other_settings(tmp_path, monkeypatch, padding):
    options = {
        "feature_size": 20,
        "sampling_rate": 16_000,
        "hop_length": 200,
        "fft_window_size": 512,
        "max_length_s": 2,
        "frequency_min": 100,
        "frequency_max": 7000,
        "truncation": "rand_trunc",
        "padding": padding,
    }
    wave = waves(9_001)["noise"]
    ours, theirs = both(tmp_path, monkeypatch, wave, [0.5], **options)
    expected = theirs["input_features"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(ours.mel, expected, atol=1e-5, rtol=1e-6)


def test_published_lengths(tmp_path, monkeypatch):
    """Ten seconds, of a clip of 25: places late in a long clip are the hard ones."""
    wave = waves(25 * 48_000 + 77)["tone"] + 1e-3 * waves(25 * 48_000 + 77)["noise"]
    ours, theirs = both(
        tmp_path, monkeypatch, wave, [0.5, 0.5, 0.5], truncation="fusion"
    )
    expected = theirs["input_features"][0].transpose(1, 2, 0)
    assert ours.mel.shape == (1001, 64, 4)
    np.testing.assert_allclose(ours.mel, expected, atol=1e-5, rtol=1e-6)
