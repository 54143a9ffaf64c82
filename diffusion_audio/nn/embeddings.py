"""Embeddings of the diffusion time."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.nn.layers import dense


def timestep_embedding(t: Array, width: int, max_period: float = 10_000.0) -> Array:
    """Sinusoidal features of a time, cosines first.

    Vaswani et al. 2017, section 3.5, in the order of Dhariwal and Nichol 2021:
    ``[cos(t w_0), ..., sin(t w_0), ...]`` with ``w_i = max_period^(-i / (width / 2))``.

    Args:
        t: [B], integer or float, in steps.
        width: number of features, even.
        max_period: the longest wavelength is 2 pi times this.

    Returns:
        float32 [B, width].
    """
    half = width // 2
    rates = jnp.exp(-math.log(max_period) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * rates[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class TimestepEmbedding(nnx.Module):
    """Two dense layers over the sinusoidal features: [B, width] -> [B, out]."""

    def __init__(self, width: int, out: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.linear_1 = dense(width, out, dtype=dtype, rngs=rngs)
        self.linear_2 = dense(out, out, dtype=dtype, rngs=rngs)

    def __call__(self, features: Array) -> Array:
        """[B, width] -> [B, out]."""
        return self.linear_2(jax.nn.silu(self.linear_1(features)))
