"""Normalisation with float32 statistics under any compute type."""

import math

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
        y = x.astype(jnp.float32).reshape(
            batch, -1, self.groups, channels // self.groups
        )
        mean = y.mean(axis=(1, 3), keepdims=True)
        variance = jnp.square(y - mean).mean(axis=(1, 3), keepdims=True)
        y = ((y - mean) * lax.rsqrt(variance + self.epsilon)).reshape(x.shape)
        return _affine(y, self.scale[...], self.bias[...]).astype(self.dtype)


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
        return _affine(y, self.scale[...], self.bias[...]).astype(self.dtype)


def _affine(x: Array, scale: Array, bias: Array) -> Array:
    shape = (1,) * (x.ndim - 1) + (math.prod(scale.shape),)
    return x * scale.reshape(shape) + bias.reshape(shape)
