"""Log-mel spectrograms in JAX: framing, short-time Fourier transform, mel bands."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.rows import by_rows

REFERENCE_FLOOR = 1e-5  # of the mels of HiFi-GAN's code


@functools.partial(jax.jit, static_argnums=0)
def log_mel(spec: AudioSpec, wave: Array) -> Array:
    """Log-mel spectrogram of waveforms, as HiFi-GAN, AudioLDM and librosa define it.

    Differentiable everywhere: the gradient of digital silence is zero. A float32
    transform is exact to 1e-7 of the loudest bin of a frame, so bands 60 dB below it
    agree with librosa (which computes in float64) to 1e-4, and those at the floor
    beside a full-scale tone to 0.03; float64 waves (``jax_enable_x64``) stay float64.

    Args:
        spec: how it was made.
        wave: [B, N] or [N], floats, full scale 1.

    Returns:
        [B, T, F] or [T, F] with T = ``spec.frames(N)``, not normalised; float32
        (float64 for a float64 wave).

    Raises:
        UserError: for integer samples, or clips too short to be reflected.
    """
    magnitude = stft_magnitude(
        wave,
        spec.n_fft,
        spec.hop_length,
        spec.win_length,
        pad=spec.pad,
        power_eps=spec.power_eps,
    )
    bands = jnp.asarray(mel_filterbank(spec).T, magnitude.dtype)  # [K, F]
    # Not the accelerator's default precision: TF32 is off by 1e-3 in the logarithm.
    mel = jnp.matmul(magnitude, bands, precision="highest")
    floored = jnp.maximum(mel, spec.floor)
    return jnp.log(floored) if spec.log == "ln" else jnp.log10(floored)


def full_band(spec: AudioSpec) -> AudioSpec:
    """The spec of HiFi-GAN's loss: up to half the sample rate, down to its floor.

    The generator's input may end below in frequency or above in level, yet it must
    sound right there too.
    """
    return dataclasses.replace(spec, fmax=None, floor=min(spec.floor, REFERENCE_FLOOR))


def normalize(spec: AudioSpec, mel: Array) -> Array:
    """Log-mel to the range of networks, affinely: value_low -> -1, value_high -> 1.

    The identity for a spec without a value range. Nothing is clipped.
    """
    if spec.value_low is None or spec.value_high is None:
        return mel
    return (mel - spec.value_low) * (2 / (spec.value_high - spec.value_low)) - 1


def denormalize(spec: AudioSpec, mel: Array) -> Array:
    """The inverse of ``normalize``."""
    if spec.value_low is None or spec.value_high is None:
        return mel
    return (mel + 1) * ((spec.value_high - spec.value_low) / 2) + spec.value_low


def stft_magnitude(
    wave: Array,
    n_fft: int,
    hop_length: int,
    win_length: int,
    *,
    pad: int,
    power_eps: float = 0.0,
    power_floor: float = 1e-30,
) -> Array:
    """``sqrt(max(|X|^2 + power_eps, power_floor))`` of reflected waveforms.

    Args:
        wave: [..., N] floats.
        n_fft: length of the transform, samples.
        hop_length: samples between frames.
        win_length: length of the periodic Hann window, centred in ``n_fft``.
        pad: samples reflected on either side; n_fft // 2 is librosa's ``center``.
        power_eps: added to the power.
        power_floor: least power, above 0; the gradient is zero below, where that of
            the square root would be infinite.

    Returns:
        [..., T, n_fft // 2 + 1] float32 (float64 for a float64 wave).

    Raises:
        UserError: for integer samples, or clips too short to be reflected.
    """
    wave = jnp.asarray(wave)
    if not jnp.issubdtype(wave.dtype, jnp.floating):
        raise UserError(
            f"expected float samples within [-1, 1], got {wave.dtype}: "
            "divide 16-bit samples by 32768"
        )
    least = max(pad + 1, n_fft - 2 * pad)
    if wave.shape[-1] < least:
        raise UserError(
            f"clip of {wave.shape[-1]} samples is too short for n_fft {n_fft}: "
            f"at least {least} are needed"
        )
    widths = [(0, 0)] * (wave.ndim - 1) + [(pad, pad)]
    wave = wave if wave.dtype == jnp.float64 else wave.astype(jnp.float32)
    padded = jnp.pad(wave, widths, mode="reflect")
    spectrum = stft(padded, n_fft, hop_length, win_length)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag) + power_eps
    return jnp.sqrt(jnp.maximum(power, power_floor))


def stft(wave: Array, n_fft: int, hop_length: int, win_length: int) -> Array:
    """Short-time Fourier transform without padding.

    Args:
        wave: [..., N] float32.
        n_fft: length of the transform, samples.
        hop_length: samples between frames.
        win_length: length of the Hann window.

    Returns:
        [..., T, n_fft // 2 + 1] complex64 with T = 1 + (N - n_fft) // hop_length.
    """
    return spectrum(wave, hann_window(n_fft, win_length), hop_length, n_fft)


def spectrum(wave: Array, window: np.ndarray, hop_length: int, n_fft: int) -> Array:
    """Fourier transforms of windowed frames, without padding of the wave.

    Args:
        wave: [..., N] floats.
        window: [W]; a frame has as many samples.
        hop_length: samples between frames.
        n_fft: length of the transform; zeros follow a frame that is shorter.

    Returns:
        [..., T, n_fft // 2 + 1] complex with T = 1 + (N - W) // hop_length.
    """
    frames = frame(wave, len(window), hop_length)
    weights = jnp.broadcast_to(jnp.asarray(window, wave.dtype), frames.shape)
    return by_rows(lambda x: jnp.fft.rfft(x, n_fft), (frames * weights,))


def frame(wave: Array, length: int, hop: int) -> Array:
    """Overlapping frames: [..., N] -> [..., T, length].

    Cut into blocks of one hop and laid side by side: slices and one concatenation,
    whose gradient is additions, where a gather's is a slow scatter.
    """
    frames = 1 + (wave.shape[-1] - length) // hop
    across = -(-length // hop)  # blocks that a frame touches
    blocks = frames + across - 1
    missing = max(blocks * hop - wave.shape[-1], 0)
    wave = jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, missing)])
    grid = wave[..., : blocks * hop].reshape(*wave.shape[:-1], blocks, hop)
    rows = [grid[..., i : i + frames, :] for i in range(across)]
    return jnp.concatenate(rows, axis=-1)[..., :length]


@functools.lru_cache(maxsize=32)
def hann_window(n_fft: int, win_length: int) -> np.ndarray:
    """Periodic Hann window of ``win_length``, centred in ``n_fft`` zeros; float64."""
    window = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    phase = 2 * np.pi * np.arange(win_length) / win_length
    window[start : start + win_length] = 0.5 - 0.5 * np.cos(phase)
    window.setflags(write=False)
    return window


@functools.lru_cache(maxsize=32)
def mel_filterbank(spec: AudioSpec) -> np.ndarray:
    """Triangular mel bands, computed in float64 and equal to librosa's.

    Returns:
        [F, n_fft // 2 + 1] float64.

    Raises:
        UserError: if a band is so narrow that no Fourier bin falls into it: it
            would hold the floor for ever.
    """
    bands = mel_triangles(spec)
    empty = np.flatnonzero(bands.max(axis=1) == 0)
    if empty.size:
        raise UserError(
            f"audio spec: {empty.size} of {spec.n_mels} mel bands hold no Fourier bin "
            f"(first: band {empty[0]}); use fewer n_mels or a longer n_fft"
        )
    return bands


@functools.lru_cache(maxsize=32)
def mel_triangles(spec: AudioSpec) -> np.ndarray:
    """As `mel_filterbank`, but a band may be so narrow that it is all zeros."""
    bins = np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate)
    low, high = hz_to_mel(np.array([spec.fmin, spec.top]), spec.mel_scale)
    edges = mel_to_hz(np.linspace(low, high, spec.n_mels + 2), spec.mel_scale)
    widths = np.diff(edges)[:, None]
    rising = (bins - edges[:-2, None]) / widths[:-1]
    falling = (edges[2:, None] - bins) / widths[1:]
    bands = np.maximum(0, np.minimum(rising, falling))
    if spec.mel_norm == "slaney":
        bands *= 2 / (edges[2:] - edges[:-2])[:, None]
    bands.setflags(write=False)
    return bands


def kaldi_triangles(
    sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> np.ndarray:
    """Bands that are triangles over mels of HTK's scale, as Kaldi and VGGish have them.

    Those of `mel_triangles` are triangles over Hz.

    Returns:
        [n_mels, n_fft // 2 + 1] float64, each band 1 at its middle.
    """
    bins = hz_to_mel(np.fft.rfftfreq(n_fft, 1 / sample_rate), "htk")
    low, high = hz_to_mel(np.array([fmin, fmax]), "htk")
    edges = np.linspace(low, high, n_mels + 2)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


# The Slaney scale (Auditory Toolbox, 1998) is linear up to 1 kHz, then logarithmic.
LINEAR_HZ = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ
LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: np.ndarray, scale: str) -> np.ndarray:
    """Frequencies in Hz to mels, on the ``"slaney"`` or ``"htk"`` scale."""
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    above = BREAK_MEL + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(hz < BREAK_HZ, hz / LINEAR_HZ, above)


def mel_to_hz(mel: np.ndarray, scale: str) -> np.ndarray:
    """The inverse of ``hz_to_mel``."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ, above)
