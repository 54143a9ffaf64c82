"""Batch normalisation as a trained network uses it: by statistics that are known."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array


class FixedBatchNorm(nnx.Module):
    """Normalises each channel by a known mean and variance (Ioffe and Szegedy 2015).

    Mean and variance lie among the parameters, for files of weights have them; PyTorch
    counts them as none.

    Args:
        channels: size of the last axis.
        epsilon: added to the variance.
        dtype: type of the result.
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-5, dtype: DTypeLike):
        self.epsilon = epsilon
        self.dtype = dtype
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.Param(jnp.zeros(channels))
        self.variance = nnx.Param(jnp.ones(channels))

    def __call__(self, x: Array) -> Array:
        """[..., C] -> the same shape."""
        shape = (1,) * (x.ndim - 1) + (-1,)
        slope = self.scale[...] * lax.rsqrt(self.variance[...] + self.epsilon)
        y = x.astype(jnp.float32) - self.mean[...].reshape(shape)
        y = y * slope.reshape(shape) + self.bias[...].reshape(shape)
        return y.astype(self.dtype)
