"""CLAP's mels: librosa's decibels, clips filled and cropped, and what is refused."""

import dataclasses

import librosa
import numpy as np
import pytest

from diffusion_audio.audio.clap_mel import ClapMel, clap_mel
from diffusion_audio.errors import UserError

CFG = ClapMel(
    sample_rate=8000,
    n_fft=128,
    hop_length=50,
    n_mels=6,
    fmax=3000.0,
    samples=1000,
    padding="pad",
)
FUSION = dataclasses.replace(CFG, fusion=True)


def noise(samples):
    return np.random.default_rng(0).uniform(-1, 1, samples)


def decibels(cfg, wave):
    mel = librosa.feature.melspectrogram(
        y=wave,
        sr=cfg.sample_rate,
        n_fft=cfg.n_fft,
        hop_length=cfg.hop_length,
        n_mels=cfg.n_mels,
        fmin=cfg.fmin,
        fmax=cfg.fmax,
        pad_mode="reflect",
        htk=cfg.fusion,
        norm=None if cfg.fusion else "slaney",
    )
    return 10 * np.log10(np.maximum(mel, 1e-10)).T


@pytest.mark.parametrize("cfg", [CFG, FUSION])
def test_decibels_are_librosas(cfg):
    loud = np.sin(np.arange(1000) * 0.7) * np.hanning(1000)
    for wave in (noise(1000), loud, np.zeros(1000)):
        seen = clap_mel(cfg, wave)
        assert seen.mel.shape == (cfg.frames, 6, 4 if cfg.fusion else 1)
        assert seen.mel.dtype == np.float32
        expected = np.repeat(decibels(cfg, wave)[:, :, None], seen.mel.shape[2], 2)
        np.testing.assert_allclose(seen.mel, expected, atol=1e-4)
        assert not seen.longer


@pytest.mark.parametrize(
    ("padding", "filled"),
    [
        ("pad", lambda x: np.pad(x, (0, 600))),
        ("repeatpad", lambda x: np.pad(np.concatenate([x, x]), (0, 200))),
        ("repeat", lambda x: np.concatenate([x, x, x])[:1000]),
    ],
)
def test_a_shorter_clip_is_filled(padding, filled):
    cfg = dataclasses.replace(CFG, padding=padding)
    wave = noise(400)
    np.testing.assert_array_equal(
        clap_mel(cfg, wave).mel, clap_mel(CFG, filled(wave)).mel
    )


@pytest.mark.parametrize(("place", "start"), [(0.0, 0), (0.5, 250), (1.0, 500)])
def test_of_a_longer_clip_a_crop_is_seen(place, start):
    wave = noise(1500)
    seen = clap_mel(CFG, wave, (place,))
    assert seen.longer
    expected = clap_mel(CFG, wave[start : start + 1000]).mel
    np.testing.assert_array_equal(seen.mel, expected)


def test_with_fusion_the_whole_is_seen_and_a_crop_of_each_third():
    wave = noise(1450)  # 30 frames, 21 seen: ten places, four, three and three
    whole = decibels(FUSION, wave)
    seen = clap_mel(FUSION, wave, (0.0, 1.0, 0.5))
    assert seen.longer
    for crop, start in enumerate((0, 6, 8), 1):
        expected = whole[start : start + 21]
        np.testing.assert_allclose(seen.mel[:, :, crop], expected, atol=1e-4)
    places = np.maximum((np.arange(21) + 0.5) * 30 / 21 - 0.5, 0)
    for band in range(6):
        shrunk = np.interp(places, np.arange(30), whole[:, band])
        np.testing.assert_allclose(seen.mel[:, band, 0], shrunk, atol=1e-3)


def test_with_fusion_less_than_a_hop_too_long_is_not_cut():
    wave = noise(1049)
    seen = clap_mel(FUSION, wave)
    assert not seen.longer
    expected = np.repeat(decibels(FUSION, wave)[:, :, None], 4, axis=2)
    np.testing.assert_allclose(seen.mel, expected, atol=1e-4)


def test_a_third_that_is_empty_gives_the_first_crop():
    seen = clap_mel(FUSION, noise(1050))  # two places for three crops
    np.testing.assert_array_equal(seen.mel[:, :, 3], seen.mel[:, :, 1])
    assert (seen.mel[:, :, 2] != seen.mel[:, :, 1]).any()


@pytest.mark.parametrize(
    ("wave", "places", "line"),
    [
        (np.zeros(0), (0.5,), "expected a wave of floats"),
        (np.zeros((2, 9)), (0.5,), "mix channels to one"),
        (np.zeros(9, np.int16), (0.5,), "divide 16-bit samples by 32768"),
        (np.zeros(9), (), "expected 1 places from 0 to 1"),
        (np.zeros(9), (1.5,), "expected 1 places from 0 to 1"),
    ],
)
def test_what_is_refused(wave, places, line):
    with pytest.raises(UserError, match=line):
        clap_mel(CFG, wave, places)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"padding": "zeros"}, "unknown padding of CLAP's mels 'zeros'"),
        ({"samples": 1024}, "expected samples above n_fft=1024"),
        ({"fmax": 30_000.0}, "fmax must be at most half the sample rate"),
    ],
)
def test_settings_that_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        ClapMel(**options)
