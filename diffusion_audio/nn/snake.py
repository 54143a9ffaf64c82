"""Snake activations, and activations without aliasing (BigVGAN, Lee et al. 2023).

Sequences are [B, N, C]. A point-wise function makes frequencies above half the rate,
which fold back as false tones. Between an upsampling and a downsampling by two, with
low-pass filters, most of them are taken away.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import unknown

KINDS = ("leaky_relu", "snake", "snakebeta")
TAPS = 12
SMALL = 1e-9


class Activation(nnx.Module):
    """A point-wise function, with parameters where it is a Snake.

    Snake is x + sin(a x)^2 / a (Ziyin et al. 2020), Snake-beta x + sin(a x)^2 / b; a
    and b are one number a channel, kept as logarithms that start at 0.

    Args:
        kind: one of ``KINDS``.
        channels: C.
        slope: of the leaky ReLU.
        antialias: apply it at twice the rate.
    """

    def __init__(
        self, kind: str, channels: int, *, slope: float, antialias: bool = False
    ) -> None:
        if kind not in KINDS:
            raise unknown("activation", kind, KINDS)
        self.kind, self.slope, self.antialias = kind, slope, antialias
        if kind != "leaky_relu":
            self.alpha = nnx.Param(jnp.zeros(channels))
        if kind == "snakebeta":
            self.beta = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Array) -> Array:
        """[B, N, C] -> [B, N, C]."""
        return downsample(self._act(upsample(x))) if self.antialias else self._act(x)

    def _act(self, x: Array) -> Array:
        if self.kind == "leaky_relu":
            return jax.nn.leaky_relu(x, self.slope)
        alpha = jnp.exp(self.alpha[...])
        over = jnp.exp(self.beta[...]) if self.kind == "snakebeta" else alpha
        alpha, over = (v.astype(x.dtype)[None, None, :] for v in (alpha, over))
        return x + jnp.square(jnp.sin(alpha * x)) / (over + SMALL)


@functools.cache
def low_pass() -> tuple[float, ...]:
    """Kaiser-windowed sinc of 12 taps that halves the band, as BigVGAN designs it."""
    half, width = TAPS // 2, 0.6 / 2
    attenuation = 2.285 * (half - 1) * np.pi * 4 * width + 7.95
    beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    time = np.arange(-half, half) + 0.5
    taps = np.kaiser(TAPS, beta) * np.sinc(time / 2)
    return tuple(float(tap) for tap in taps / taps.sum())


def upsample(x: Array) -> Array:
    """[B, N, C] -> [B, 2 N, C]: zeros between samples, then the low-pass filter.

    Written as one sum of shifted sequences for each of the two phases: on the CPU the
    gradient of a depth-wise convolution takes a slow path.
    """
    samples, taps = x.shape[1], low_pass()
    x = jnp.pad(x, ((0, 0), (5, 5), (0, 0)), mode="edge")
    phases = [
        sum(
            (2 * taps[2 * j + 1 - r]) * x[:, 7 + r - j : 7 + r - j + samples]
            for j in range(TAPS // 2)
        )
        for r in (0, 1)
    ]
    return jnp.stack(phases, axis=2).reshape(x.shape[0], 2 * samples, x.shape[2])


def downsample(x: Array) -> Array:
    """[B, 2 N, C] -> [B, N, C]: the low-pass filter, then every second sample."""
    batch, samples, channels = x.shape
    x = jnp.pad(x, ((0, 0), (5, 7), (0, 0)), mode="edge")
    phases = x.reshape(batch, -1, 2, channels)
    return jnp.asarray(
        sum(
            tap * phases[:, k // 2 : k // 2 + samples // 2, k % 2]
            for k, tap in enumerate(low_pass())
        )
    )
