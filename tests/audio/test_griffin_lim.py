import dataclasses

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from scipy.optimize import nnls

from diffusion_audio.audio.griffin_lim import (
    find_phases,
    griffin_lim,
    istft,
    linear_magnitude,
    overlap_add,
)
from diffusion_audio.audio.mel import log_mel, mel_filterbank, stft, stft_magnitude
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError

TONES = PRESETS["tones_16k"]


def music(rate):
    """A second of struck chords, a glide and a burst of noise."""
    rng = np.random.default_rng(0)
    time = np.arange(rate) / rate
    chord = sum(np.sin(2 * np.pi * 220 * k * time + k) / k for k in range(1, 15))
    glide = np.sin(2 * np.pi * (200 * time + 600 * time**2))
    noise = rng.normal(size=time.size) * (time > 0.9)
    wave = 0.2 * chord * np.exp(-3 * (time % 0.5)) + 0.2 * glide + 0.1 * noise
    return wave.astype(np.float32)


def convergence(spec, ref, est):
    """|| |R| - |E| || / || |R| ||, 0 for equal spectrograms."""
    real, made = (
        np.asarray(
            stft_magnitude(
                wave, spec.n_fft, spec.hop_length, spec.win_length, pad=spec.n_fft // 2
            )
        )
        for wave in (ref, est)
    )
    return np.linalg.norm(real - made) / np.linalg.norm(real)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(16, 5, 13), (9, 3, 9)])
def test_istft_inverts_stft(n_fft, hop, window):
    wave = jax.random.normal(jax.random.key(0), (2, n_fft + 7 * hop))
    sizes = (n_fft, hop, window)
    back = jax.jit(lambda wave: istft(stft(wave, *sizes), *sizes))(wave)
    assert back.shape == wave.shape
    inner = slice(n_fft, -n_fft)
    np.testing.assert_allclose(back[:, inner], wave[:, inner], atol=1e-5)


def test_istft_is_least_squares():
    """Of a spectrum that no waveform has: the nearest, solved as a linear system."""
    rng = np.random.default_rng(0)
    spectrum = rng.normal(size=(12, 9)) + 1j * rng.normal(size=(12, 9))
    analyses = np.asarray(stft(jnp.eye(60), 16, 4, 16))  # [60, 12, 9]
    weight = np.array([1] + [2**0.5] * 7 + [1])  # bins that stand for two of the 16
    system = (analyses * weight).reshape(60, -1).T
    target = (spectrum * weight).ravel()
    expected, *_ = np.linalg.lstsq(
        np.concatenate([system.real, system.imag]),
        np.concatenate([target.real, target.imag]),
    )
    wave = istft(jnp.asarray(spectrum, jnp.complex64), 16, 4, 16)
    np.testing.assert_allclose(wave[4:-4], expected[4:-4], atol=1e-4)


@pytest.mark.parametrize(("length", "hop"), [(8, 2), (7, 3), (5, 5)])
def test_overlap_add(length, hop):
    frames = np.random.default_rng(0).normal(size=(2, 6, length)).astype(np.float32)
    expected = np.zeros((2, length + 5 * hop), np.float32)
    for i in range(6):
        expected[:, i * hop : i * hop + length] += frames[:, i]
    np.testing.assert_allclose(overlap_add(frames, hop), expected, atol=1e-6)


def test_linear_magnitude_keeps_the_mel():
    mel = log_mel(TONES, music(16000))
    magnitude = linear_magnitude(TONES, mel)
    assert (magnitude >= 0).all()
    again = np.log(np.asarray(magnitude) @ mel_filterbank(TONES).T)
    assert np.abs(again - mel).mean() < 0.01
    # Least squares, solved exactly, is further from the true magnitudes.
    true = np.asarray(
        stft_magnitude(music(16000), 1024, 256, 1024, pad=TONES.pad), np.float64
    )
    bands = np.exp(np.asarray(mel, np.float64))
    frames = range(0, len(bands), 6)
    squares = np.stack([nnls(mel_filterbank(TONES), bands[i])[0] for i in frames])
    error = [np.linalg.norm(m - true[::6]) for m in (magnitude[::6], squares)]
    assert error[0] < error[1]


def test_find_phases_equals_librosa():
    # Silent ends: there librosa divides by less of a window than float32 can bear.
    wave = np.pad(music(16000)[:5120], 2048)
    magnitude = np.abs(stft(jnp.asarray(wave)[None], 1024, 256, 1024))
    ones = jnp.ones(magnitude.shape, jnp.complex64)
    made = find_phases(TONES, magnitude, ones, 5)[0]
    expected = librosa.griffinlim(
        np.asarray(magnitude)[0].T, n_iter=5, hop_length=256, center=False, init=None
    )
    np.testing.assert_allclose(made, expected, atol=5e-3)  # phases of nothing differ


@pytest.mark.parametrize(
    "name",
    [
        "tones_16k",
        pytest.param("audioldm_16k", marks=pytest.mark.slow),
        pytest.param("hifigan_22k", marks=pytest.mark.slow),
    ],
)
def test_as_good_as_librosa(name):
    spec = dataclasses.replace(PRESETS[name], framing="centre")
    wave = music(spec.sample_rate)
    wave = wave[: spec.samples(spec.frames(len(wave)))]
    mel = log_mel(spec, wave)
    ours = griffin_lim(spec, mel[None], jax.random.key(0), 32)[0]
    theirs = librosa.feature.inverse.mel_to_audio(
        np.exp(np.asarray(mel)).T,
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        power=1,
        n_iter=32,
        fmin=spec.fmin,
        fmax=spec.fmax,
        pad_mode="reflect",
        length=len(wave),
    )
    assert convergence(spec, wave, ours) < convergence(spec, wave, theirs) + 0.01
    error = [np.abs(log_mel(spec, w) - mel).mean() for w in (ours, theirs)]
    assert error[0] < error[1]


@pytest.mark.slow
def test_auffusion_is_nearly_the_recording():
    """256 bands leave little to guess: the project's hardest framing, pad 944."""
    spec = PRESETS["auffusion_16k"]
    wave = music(16000)
    made = griffin_lim(spec, log_mel(spec, wave)[None], jax.random.key(0), 60)[0]
    assert convergence(spec, wave, made) < 0.15


def test_shapes_iterations_and_keys():
    wave = music(16000)[:8192].reshape(2, 4096)
    mel = log_mel(TONES, wave)
    key = jax.random.key(1)
    made = griffin_lim(TONES, mel, key)
    assert made.shape == wave.shape
    assert made.dtype == jnp.float32
    start = griffin_lim(TONES, mel, key, 0)
    for ref, first, last in zip(wave, start, made, strict=True):
        assert convergence(TONES, ref, last) < 0.7 * convergence(TONES, ref, first)
    np.testing.assert_array_equal(made, griffin_lim(TONES, mel, key))
    other = griffin_lim(TONES, mel, jax.random.key(2), 0)
    assert np.abs(other - start).max() > 0.01
    # A clip depends neither on its batch nor on its place there.
    alone = griffin_lim(TONES, mel[1:], key, 0)
    np.testing.assert_allclose(alone, start[1:], atol=1e-4)
    tenths = dataclasses.replace(TONES, log="log10")
    np.testing.assert_allclose(
        linear_magnitude(tenths, log_mel(tenths, wave)),
        linear_magnitude(TONES, mel),
        rtol=1e-2,
        atol=1e-3,
    )


def test_wrong_spectrogram():
    with pytest.raises(UserError, match=r"log-mels \[B, T, 64\] .* got shape \(8, 64"):
        griffin_lim(TONES, jnp.zeros((8, 64)), jax.random.key(0))
    with pytest.raises(UserError, match=r"got shape \(1, 8, 80\)"):
        griffin_lim(TONES, jnp.zeros((1, 8, 80)), jax.random.key(0))
