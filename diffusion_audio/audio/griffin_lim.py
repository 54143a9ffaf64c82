"""Griffin-Lim: a waveform from a log-mel spectrogram, with no network."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key
from diffusion_audio.audio.mel import hann_window, mel_filterbank, stft
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.rows import by_rows

MOMENTUM = 0.99  # librosa's default, and near the paper's best
SMALL = 1e-8


@functools.partial(jax.jit, static_argnums=(0, 3))
def griffin_lim(spec: AudioSpec, mel: Array, key: Key, iterations: int = 60) -> Array:
    """The waveform whose spectrogram comes near a log-mel spectrogram.

    Args:
        spec: how it was made.
        mel: [B, T, F] log-mels, not normalised.
        key: draws the phases that the iteration starts from, the same for every clip.
        iterations: projections; quality levels off near 60.

    Returns:
        [B, N] float32 with N = ``spec.samples(T)``.

    Raises:
        UserError: for another shape.
    """
    if mel.ndim != 3 or mel.shape[-1] != spec.n_mels:
        raise UserError(
            f"expected log-mels [B, T, {spec.n_mels}] for this audio spec, "
            f"got shape {mel.shape}"
        )
    magnitude = linear_magnitude(spec, jnp.asarray(mel, jnp.float32))
    turns = jax.random.uniform(key, magnitude.shape[1:], maxval=2 * jnp.pi)
    phases = jax.lax.complex(jnp.cos(turns), jnp.sin(turns))
    phases = jnp.broadcast_to(phases, magnitude.shape)
    wave = find_phases(spec, magnitude, phases, iterations)
    return wave[:, spec.pad : spec.pad + spec.samples(mel.shape[1])]


def find_phases(
    spec: AudioSpec, magnitude: Array, phases: Array, iterations: int
) -> Array:
    """Fast Griffin-Lim (Perraudin et al., 2013, algorithm 2).

    Args:
        spec: gives n_fft, hop and window.
        magnitude: [B, T, K] float32 of the Fourier bins.
        phases: [B, T, K] complex64 of modulus 1, to start from.
        iterations: projections.

    Returns:
        [B, n_fft + (T - 1) * hop] float32: the margins of the framing included.
    """
    sizes = (spec.n_fft, spec.hop_length, spec.win_length)
    wanted = magnitude.astype(phases.dtype)

    def project(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        phases, previous = carry
        rebuilt = stft(istft(wanted * phases, *sizes), *sizes)
        ahead = rebuilt - MOMENTUM / (1 + MOMENTUM) * previous
        return ahead / (jnp.abs(ahead) + SMALL).astype(ahead.dtype), rebuilt

    start = (phases, jnp.zeros_like(phases))
    phases, _ = jax.lax.fori_loop(0, iterations, project, start)
    return istft(wanted * phases, *sizes)


def linear_magnitude(spec: AudioSpec, mel: Array, iterations: int = 30) -> Array:
    """Non-negative Fourier magnitudes whose mel bands are those of a log-mel.

    Multiplicative updates (Lee and Seung, 2001, equation 5) that bring down the
    Kullback-Leibler divergence, from the clipped pseudo-inverse. They weigh quiet
    bands like loud ones, where least squares (librosa) loses what is 20 dB down.

    Args:
        spec: how it was made.
        mel: [..., F] log-mels, not normalised.
        iterations: number of updates.

    Returns:
        [..., n_fft // 2 + 1] float32.
    """
    bank = mel_filterbank(spec)  # [F, K]
    weight = np.where(bank.any(0), bank.sum(0), 1)  # bins beyond the bands become 0
    inverse, bands, spread = (
        jnp.asarray(matrix, jnp.float32)
        for matrix in (np.linalg.pinv(bank).T, bank.T, bank / weight)
    )
    dot = functools.partial(jnp.matmul, precision="highest")
    target = jnp.exp(mel if spec.log == "ln" else mel * math.log(10))

    def update(_: Array, estimate: Array) -> Array:
        return estimate * dot(target / (dot(estimate, bands) + SMALL), spread)

    start = jnp.maximum(dot(target, inverse), SMALL)
    return jax.lax.fori_loop(0, iterations, update, start)


def istft(spectrum: Array, n_fft: int, hop_length: int, win_length: int) -> Array:
    """The waveform whose transform is nearest, in least squares, to ``spectrum``.

    Griffin and Lim (1984), equation 6.

    Args:
        spectrum: [..., T, n_fft // 2 + 1] complex64.
        n_fft: length of the transform, samples.
        hop_length: samples between frames.
        win_length: length of the periodic Hann window, centred in ``n_fft``.

    Returns:
        [..., N] float32 with N = n_fft + (T - 1) * hop_length; samples that no
        window reaches are zero.
    """
    frames = by_rows(lambda x: jnp.fft.irfft(x, n_fft), (spectrum,))
    window = jnp.asarray(hann_window(n_fft, win_length), frames.dtype)
    window = jnp.broadcast_to(window, frames.shape)
    weight = overlap_add(jnp.square(window), hop_length)
    total = overlap_add(frames * window, hop_length)
    return jnp.where(weight > SMALL, total / jnp.maximum(weight, SMALL), 0)


def overlap_add(frames: Array, hop: int) -> Array:
    """Adds overlapping frames: [..., T, length] -> [..., length + (T - 1) * hop]."""
    *batch, count, length = frames.shape
    across = -(-length // hop)  # blocks of one hop that a frame touches
    rest = [(0, 0)] * len(batch)
    padded = jnp.pad(frames, [*rest, (0, 0), (0, across * hop - length)])
    grid = padded.reshape(*batch, count, across, hop)
    total = sum(
        jnp.pad(grid[..., i, :], [*rest, (i, across - 1 - i), (0, 0)])
        for i in range(across)
    )
    wave = jnp.asarray(total).reshape(*batch, -1)
    return wave[..., : length + (count - 1) * hop]
