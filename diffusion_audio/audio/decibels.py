"""Mel bands of power in decibels, as CLAP and PANNs are shown them."""

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import stft

POWER_FLOOR = 1e-10  # -100 dB


def power_decibels(
    waves: Array, n_fft: int, hop_length: int, bands: np.ndarray
) -> Array:
    """``10 log10(max(power in a band, 1e-10))`` of waves reflected at their ends.

    Args:
        waves: [B, N] floats; in float64 the floor is exact beside a loud tone.
        n_fft: samples of a frame, under a periodic Hann window.
        hop_length: samples between the middles of frames.
        bands: [F, n_fft // 2 + 1].

    Returns:
        [B, 1 + N // hop_length, F].
    """
    pad = n_fft // 2
    padded = jnp.pad(waves, ((0, 0), (pad, pad)), mode="reflect")
    found = stft(padded, n_fft, hop_length, n_fft)
    power = jnp.square(found.real) + jnp.square(found.imag)
    mel = jnp.matmul(power, jnp.asarray(bands.T, power.dtype), precision="highest")
    return 10 * jnp.log10(jnp.maximum(mel, POWER_FLOOR))
