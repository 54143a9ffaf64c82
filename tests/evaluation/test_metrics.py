import itertools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.metrics import (
    band_errors,
    health,
    log_spectral_distance,
    mel_l1,
    si_sdr,
)

RATE = 16000


@pytest.fixture(scope="module")
def pair():
    """Two references [2, 4096] and estimates: filtered, and with noise."""
    rng = np.random.default_rng(0)
    time = np.arange(4096) / RATE
    tones = sum(np.sin(2 * np.pi * 300 * k * time) / k for k in range(1, 9))
    ref = np.stack([0.2 * tones, rng.normal(size=4096) * 0.1])
    est = scipy.signal.lfilter([0.8, 0.3], [1], ref) + rng.normal(size=(2, 4096)) * 1e-2
    return ref.astype(np.float32), est.astype(np.float32)


def power(wave, n_fft, hop, window):
    return np.abs(
        librosa.stft(
            wave.astype(np.float64), n_fft=n_fft, hop_length=hop, win_length=window,
            pad_mode="reflect",
        )
    ) ** 2  # fmt: skip


def test_mel_l1_is_the_gain(pair):
    """A gain of g moves every log-mel above the floor by ln g, or log10 g."""
    spec = PRESETS["tones_16k"]
    noise = pair[0][1:]
    value = mel_l1(spec, noise, noise * np.float32(0.9))
    np.testing.assert_allclose(value, [-np.log(0.9)], rtol=1e-4)
    assert mel_l1(spec, noise, -noise) == 0
    by_hand = np.abs(np.asarray(log_mel(spec, pair[0]) - log_mel(spec, pair[1])))
    expected = by_hand.mean((1, 2))
    np.testing.assert_allclose(mel_l1(spec, *pair), expected, rtol=1e-6)


def test_multi_resolution_stft_equals_the_definition(pair):
    expected = np.zeros(2)
    for i, (ref, est) in enumerate(zip(*pair, strict=True)):
        for sizes in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
            real, made = (
                np.sqrt(np.maximum(power(wave, *sizes), 1e-8)) for wave in (ref, est)
            )
            expected[i] += np.linalg.norm(real - made) / np.linalg.norm(real) / 3
            expected[i] += np.abs(np.log(real) - np.log(made)).mean() / 3
    np.testing.assert_allclose(multi_resolution_stft(*pair), expected, rtol=1e-4)


def test_multi_resolution_stft_of_a_gain(pair):
    """Of a half: the convergence is 1/2, the log magnitudes differ by ln 2."""
    noise = pair[0][1:]
    value = multi_resolution_stft(noise, noise / 2)
    np.testing.assert_allclose(value, [0.5 + np.log(2)], rtol=1e-4)
    np.testing.assert_array_equal(multi_resolution_stft(noise, -noise), [0])
    silent = jnp.zeros((1, 4096))
    assert np.isfinite(multi_resolution_stft(silent, noise)).all()


def test_multi_resolution_stft_of_clips_together_is_that_of_one_long_clip(pair):
    """Nothing but what a silent clip adds: the logs of its share of the frames."""
    noise = pair[0][1:]
    pause = np.concatenate([noise, np.zeros_like(noise)])
    value = multi_resolution_stft(pause, pause / 2, together=True)
    np.testing.assert_allclose(value, 0.5 + np.log(2) / 2, rtol=1e-4)


@pytest.mark.parametrize("together", [False, True])
def test_multi_resolution_stft_has_a_gradient_where_all_is_equal(pair, together):
    """And where all is silent, as a fresh generator's answer to a pause is."""
    noise = jnp.asarray(pair[0][:1])
    for wave in (noise, jnp.zeros_like(noise)):
        grads = jax.grad(
            lambda est, ref: multi_resolution_stft(ref, est, together=together).sum()
        )(wave, wave)
        assert np.isfinite(grads).all()


def test_log_spectral_distance_equals_the_definition(pair):
    """ssr_eval's formula on librosa's spectra: n_fft 743, hop 160 at 16 kHz."""
    expected = []
    for ref, est in zip(*pair, strict=True):
        real, made = power(ref, 743, 160, 743), power(est, 743, 160, 743)
        ratio = np.log10(real / (np.sqrt(made) + 1e-12) ** 2 + 1e-12)
        expected.append(np.sqrt((ratio**2).mean(0)).mean())
    value = log_spectral_distance(*pair, RATE)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    noise = pair[0][1:]
    np.testing.assert_allclose(
        log_spectral_distance(noise, noise * 10, RATE), [2], rtol=1e-6
    )
    # Silence is eps of magnitude, not of power: 24 decades below a power of one.
    levels = np.log10(power(noise[0], 743, 160, 743)) + 24
    expected = np.sqrt((levels**2).mean(0)).mean()
    value = log_spectral_distance(noise, 0 * noise, RATE)
    np.testing.assert_allclose(value, [expected], rtol=1e-9)


def test_si_sdr_of_known_noise():
    """Noise orthogonal to the reference: the ratio of energies, at any scale."""
    time = np.arange(1000) / 1000
    ref = np.sin(2 * np.pi * 10 * time)[None].astype(np.float32)
    noise = np.cos(2 * np.pi * 10 * time)[None].astype(np.float32)
    for decibel in (-10, 0, 20):
        est = ref + np.float32(10 ** (-decibel / 20)) * noise
        for scale, offset in ((1, 0), (-3, 0), (0.01, 0.5)):
            value = si_sdr(ref, np.float32(scale) * est + np.float32(offset))
            np.testing.assert_allclose(value, [decibel], atol=1e-3)
    assert si_sdr(ref, ref * 2) > 100
    # What it is for: a shift by one of a hundred samples of a period is heard by none.
    np.testing.assert_allclose(
        si_sdr(ref, np.roll(ref, 1, axis=1)),
        [10 * np.log10(1 / np.tan(2 * np.pi / 100) ** 2)],
        atol=0.01,
    )


def test_health_of_known_clips():
    time = np.arange(1600) / RATE
    sine = np.sin(2 * np.pi * 100 * time)
    clips = np.stack(
        [
            0.5 * sine,
            np.clip(3 * sine, -1, 1),
            1e-4 * sine,
            np.zeros(1600),
            0.5 * sine + 0.1,
            np.where(time < 0.01, np.nan, 0.5 * sine),
            np.where(time == 0, np.inf, 1),
        ]
    ).astype(np.float32)
    result = health(clips)
    np.testing.assert_allclose(result.peak[:5], [0.5, 1, 1e-4, 0, 0.6], rtol=1e-3)
    np.testing.assert_allclose(
        result.level[:4],
        [-9.031, 10 * np.log10(np.square(clips[1]).mean()), -83.01, -np.inf],
        atol=1e-2,
    )
    np.testing.assert_allclose(result.dc[:5], [0, 0, 0, 0, 0.1], atol=1e-6)
    share = 1 - 2 * np.arcsin(1 / 3) / np.pi  # of a sine above a third of its peak
    np.testing.assert_allclose(result.clipped[:2], [0, share], atol=0.02)
    assert result.finite.tolist() == [True] * 5 + [False] * 2
    assert result.faults() == [
        (), ("clipped",), ("silent",), ("silent",), ("dc",), ("non-finite",),
        ("non-finite", "clipped", "dc"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ref", "est"), [((2, 4096), (2, 4000)), ((4096,), (4096,)), ((1, 1, 9), (1, 1, 9))]
)
def test_unequal_shapes_are_refused(ref, est):
    ref, est = np.zeros(ref, np.float32), np.zeros(est, np.float32)
    for metric in (
        multi_resolution_stft,
        si_sdr,
        lambda ref, est: mel_l1(PRESETS["tones_16k"], ref, est),
        lambda ref, est: log_spectral_distance(ref, est, RATE),
    ):
        with pytest.raises(UserError, match="cut both to the shorter one"):
            metric(ref, est)


def test_band_errors_find_the_band():
    """A line added at 3 kHz shows in 2 to 4 kHz; a gain shows everywhere alike."""
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.normal(size=(1, 8192))).astype(np.float32)
    line = 0.3 * np.sin(2 * np.pi * 3000 * np.arange(8192) / RATE)
    errors = band_errors(noise, noise + line[None].astype(np.float32), RATE)[0]
    assert errors.shape == (5,)  # to 500, 1000, 2000, 4000 and 8000 Hz
    assert errors.argmax() == 3
    half = band_errors(noise, noise / 2, RATE)[0]
    np.testing.assert_allclose(half, 20 * np.log10(2), atol=0.3)
    assert band_errors(noise, noise, RATE).max() == 0


def test_band_errors_equal_the_definition(pair):
    """Of librosa's spectra, in windows of 46 ms: 743 samples, a quarter of it apart."""
    floor = 1e-4 * 743 / 4
    real, made = (
        np.stack([np.sqrt(power(wave, 743, 185, 743)) for wave in waves]) + floor
        for waves in pair
    )  # [B, F, T]
    error = np.abs(20 * np.log10(made / real))
    hertz = np.arange(error.shape[1]) * RATE / 743
    edges = [0, 500, 1000, 2000, 4000, 8000]
    expected = [
        error[:, (hertz >= low) & (hertz < high)].mean((1, 2))
        for low, high in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(band_errors(*pair, RATE).T, expected, rtol=1e-3)
