import dataclasses

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from diffusion_audio.audio.mel import (
    denormalize,
    frame,
    log_mel,
    mel_triangles,
    normalize,
)
from diffusion_audio.audio.spec import PRESETS, AudioSpec
from diffusion_audio.data import tones
from diffusion_audio.errors import UserError

ODD = AudioSpec(
    sample_rate=11025, n_fft=400, win_length=301, hop_length=110, n_mels=20,
    fmin=60, fmax=5000, mel_scale="htk", mel_norm="none", log="log10", floor=1e-4,
    power_eps=1e-4,
)  # fmt: skip
SPECS = PRESETS | {"odd": ODD}
# Compiled once for a spec: operation by operation the compiler starts ten times.
compiled = jax.jit(log_mel, static_argnums=0)


def recording(rate):
    """Half a second as a microphone hears it: voiced, then noisy, on a noise floor."""
    rng = np.random.default_rng(0)
    time = np.arange(rate // 2) / rate
    turns = np.cumsum(130 + 20 * np.sin(12 * time)) / rate
    voiced = sum(np.sin(2 * np.pi * k * turns + k) / k for k in range(1, 25))
    noise = rng.normal(size=time.size) * np.where(time < 0.3, 1e-3, 0.1)
    return (0.25 * voiced * (time < 0.35) + noise).astype(np.float32)


def tone(rate):
    """A decaying full-scale tone over digital silence: 100 dB of range in a frame."""
    time = np.arange(rate // 2) / rate
    return (np.sin(2 * np.pi * 440 * time) * np.exp(-6 * time)).astype(np.float32)


def librosa_log_mel(spec, wave):
    centre = spec.framing == "centre"
    if not centre:
        wave = np.pad(wave, (spec.n_fft - spec.hop_length) // 2, mode="reflect")
    spectrum = librosa.stft(
        wave.astype(np.float64),
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        center=centre,
        pad_mode="reflect",
    )
    bands = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm="slaney" if spec.mel_norm == "slaney" else None,
        dtype=np.float64,
    )
    mel = bands @ np.sqrt(np.abs(spectrum) ** 2 + spec.power_eps)
    return {"ln": np.log, "log10": np.log10}[spec.log](np.maximum(mel, spec.floor)).T


@pytest.mark.parametrize("framing", ["hifigan", "centre"])
@pytest.mark.parametrize("name", SPECS)
def test_equals_librosa(name, framing):
    spec = dataclasses.replace(SPECS[name], framing=framing)
    wave = recording(spec.sample_rate)
    mel = compiled(spec, wave)
    assert mel.shape == (spec.frames(len(wave)), spec.n_mels)
    assert mel.dtype == jnp.float32
    np.testing.assert_allclose(mel, librosa_log_mel(spec, wave), atol=1e-4, rtol=0)


@pytest.mark.parametrize("framing", ["hifigan", "centre"])
@pytest.mark.parametrize("name", SPECS)
def test_equals_librosa_over_100_db(name, framing):
    """The definition is librosa's to the last digit; float32 rounds at the floor."""
    spec = dataclasses.replace(SPECS[name], framing=framing)
    wave = tone(spec.sample_rate)
    expected = librosa_log_mel(spec, wave)
    with jax.enable_x64(True):
        exact = compiled(spec, wave.astype(np.float64))
        np.testing.assert_allclose(exact, expected, atol=1e-9, rtol=0)
    rounded = np.asarray(compiled(spec, wave))
    decade = np.log(10) if spec.log == "ln" else 1
    loud = expected > expected.max(1, keepdims=True) - 3 * decade
    np.testing.assert_allclose(rounded[loud], expected[loud], atol=1e-4, rtol=0)
    np.testing.assert_allclose(rounded, expected, atol=0.03, rtol=0)


@pytest.mark.filterwarnings("ignore:Empty filters")  # HTK bands of 256 are narrow
@pytest.mark.parametrize("name", SPECS)
def test_filterbank_equals_librosa(name):
    for scale in ("slaney", "htk"):
        for norm in ("slaney", "none"):
            spec = dataclasses.replace(SPECS[name], mel_scale=scale, mel_norm=norm)
            expected = librosa.filters.mel(
                sr=spec.sample_rate,
                n_fft=spec.n_fft,
                n_mels=spec.n_mels,
                fmin=spec.fmin,
                fmax=spec.fmax,
                htk=scale == "htk",
                norm="slaney" if norm == "slaney" else None,
                dtype=np.float64,
            )
            np.testing.assert_allclose(mel_triangles(spec), expected, atol=1e-12)


def test_batch_is_the_clips():
    spec = PRESETS["tones_16k"]
    waves = np.stack([recording(16000), tone(16000)])
    both = log_mel(spec, waves)
    for wave, mel in zip(waves, both, strict=True):
        np.testing.assert_allclose(log_mel(spec, wave), mel, atol=1e-5)
    half = log_mel(spec, jnp.asarray(waves, jnp.bfloat16))
    assert half.dtype == jnp.float32


@pytest.mark.parametrize("length", [5, 8, 12, 3])
@pytest.mark.parametrize("hop", [1, 3, 4])
def test_frames_are_sliding_windows(length, hop):
    wave = np.arange(2 * 41).reshape(2, 41)
    expected = np.lib.stride_tricks.sliding_window_view(wave, length, 1)[:, ::hop]
    np.testing.assert_array_equal(frame(wave, length, hop), expected)


def test_gradient():
    # power_eps 0: the square root of an exact zero is the trap.
    spec = dataclasses.replace(PRESETS["audioldm_16k"], n_mels=16, floor=1e-3)

    @jax.jit
    def loss(wave):
        return jnp.square(log_mel(spec, wave)).mean()

    half = np.random.default_rng(0).normal(0, 0.3, (1, 4000)).astype(np.float32)
    half[:, 2000:] = 0
    slope_at = jax.jit(jax.grad(loss))
    np.testing.assert_array_equal(slope_at(0 * half), 0)
    gradient = slope_at(half)
    assert np.isfinite(gradient).all()
    with jax.enable_x64(True):
        wave = np.asarray(half, np.float64)
        along = np.asarray(gradient, np.float64)
        along /= np.linalg.norm(along)
        step = 1e-6
        slope = (loss(wave + step * along) - loss(wave - step * along)) / (2 * step)
    np.testing.assert_allclose(slope, np.linalg.norm(gradient), rtol=1e-3)


def test_value_range():
    spec = PRESETS["tones_16k"]
    ends = jnp.array([spec.value_low, spec.value_high])
    np.testing.assert_allclose(normalize(spec, ends), [-1, 1], atol=1e-6)
    mel = log_mel(spec, recording(16000))
    back = denormalize(spec, normalize(spec, mel))
    np.testing.assert_allclose(back, mel, atol=1e-5)
    raw = PRESETS["hifigan_22k"]
    assert normalize(raw, mel) is mel
    assert denormalize(raw, mel) is mel


def test_tones_are_standardised():
    """The value range is one standard deviation either side of the set's mean."""
    spec = PRESETS["tones_16k"]
    clips = tones.plan("validation")[::7]
    waves = np.stack([tones.synthesize(c.attributes, c.seed) for c in clips])
    values = np.asarray(normalize(spec, log_mel(spec, waves)))
    assert values.mean() == pytest.approx(0, abs=0.2)
    assert values.std() == pytest.approx(1, abs=0.2)


def test_bad_waves_and_bands():
    spec = PRESETS["hifigan_22k"]
    with pytest.raises(UserError, match="got int16: divide 16-bit samples by 32768"):
        log_mel(spec, np.zeros(4096, np.int16))
    with pytest.raises(UserError, match=r"384 samples is too short .* 385 are needed"):
        log_mel(spec, np.zeros(384))
    assert log_mel(spec, np.zeros(385)).shape == (1, 80)
    crowded = dataclasses.replace(spec, n_fft=512, win_length=512, n_mels=160)
    with pytest.raises(UserError, match="mel bands hold no Fourier bin"):
        log_mel(crowded, np.zeros(4096))
