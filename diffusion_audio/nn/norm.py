"""Normalisation with float32 statistics under any compute type."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array


class GroupNorm(nnx.Module):
    """Group normalisation (Wu and He 2018) of [B, ..., C], over space and group.

    Args:
        channels: C.
        groups: number of groups; divides C.
        epsilon: added to the variance.
        dtype: type of the result.
    """

    def __init__(
        self, channels: int, groups: int, *, epsilon: float = 1e-5, dtype: DTypeLike
    ):
        self.groups = groups
        self.epsilon = epsilon
        self.dtype = dtype
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Array) -> Array:
        """[B, ..., C] -> the same shape."""
        batch, *_, channels = x.shape
        y = x.astype(jnp.float32).reshape(batch, -1, channels)
        # Over space first, over the channels of a group second: on the CPU five times
        # faster than over both at once.
        mean = self._over_group(y.mean(axis=1))
        variance = self._over_group(jnp.square(y - mean[:, None, :]).mean(axis=1))
        slope = self.scale[...][None, :] * lax.rsqrt(variance + self.epsilon)
        y = (y - mean[:, None, :]) * slope[:, None, :] + self.bias[...][None, None, :]
        return y.astype(self.dtype).reshape(x.shape)

    def _over_group(self, x: Array) -> Array:
        """Each channel of [B, C] becomes the mean of its group."""
        grouped = x.reshape(x.shape[0], self.groups, -1)
        mean = grouped.mean(axis=-1, keepdims=True)
        return jnp.broadcast_to(mean, grouped.shape).reshape(x.shape)


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al. 2016) over the last axis."""

    def __init__(self, channels: int, *, epsilon: float = 1e-5, dtype: DTypeLike):
        self.epsilon = epsilon
        self.dtype = dtype
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Array) -> Array:
        """[..., C] -> the same shape."""
        y = x.astype(jnp.float32)
        y = y - y.mean(axis=-1, keepdims=True)
        variance = jnp.square(y).mean(axis=-1, keepdims=True)
        y = y * lax.rsqrt(variance + self.epsilon)
        shape = (1,) * (x.ndim - 1) + (-1,)
        y = y * self.scale[...].reshape(shape) + self.bias[...].reshape(shape)
        return y.astype(self.dtype)


class RMSNorm(nnx.Module):
    """Division by the root mean square of the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, channels: int, *, epsilon: float = 1e-6, dtype: DTypeLike):
        self.epsilon = epsilon
        self.dtype = dtype
        self.scale = nnx.Param(jnp.ones(channels))

    def __call__(self, x: Array) -> Array:
        """[..., C] -> the same shape."""
        y = x.astype(jnp.float32)
        y = y * lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + self.epsilon)
        scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (y * scale).astype(self.dtype)
