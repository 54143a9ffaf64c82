"""Residual blocks and resampling for feature maps [B, H, W, C]."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.norm import GroupNorm


class ResnetBlock(nnx.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, around a skip (Ho et al. 2020).

    Args:
        c_in: channels in.
        c_out: channels out; another number than ``c_in`` gives a 1x1 shortcut.
        time: width of the time embedding that acts between the two, or None.
        scale_shift: whether it scales and shifts the second norm's output (FiLM, as
            in Dhariwal and Nichol 2021), rather than being added before that norm.
        groups: groups of the norms.
        epsilon: of the norms: 1e-5 in UNets, 1e-6 in autoencoders.
        zero: whether the second convolution starts at zero, so that the block
            starts as the identity (Dhariwal and Nichol 2021).
        dtype: compute type.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        time: int | None = None,
        scale_shift: bool = False,
        groups: int,
        epsilon: float,
        zero: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.norm1 = GroupNorm(c_in, groups, epsilon=epsilon, dtype=dtype)
        self.conv1 = conv(c_in, c_out, dtype=dtype, rngs=rngs)
        if time is not None:
            width = 2 * c_out if scale_shift else c_out
            self.time_emb_proj = dense(time, width, dtype=dtype, rngs=rngs)
        self.scale_shift = scale_shift
        self.norm2 = GroupNorm(c_out, groups, epsilon=epsilon, dtype=dtype)
        self.conv2 = conv(c_out, c_out, zero=zero, dtype=dtype, rngs=rngs)
        self.shortcut = c_in != c_out
        if self.shortcut:
            self.conv_shortcut = conv(c_in, c_out, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, time: Array | None = None) -> Array:
        """[B, H, W, c_in] and [B, time] -> [B, H, W, c_out]."""
        y = self.conv1(jax.nn.silu(self.norm1(x)))
        if time is None:
            y = self.norm2(y)
        else:
            shift = self.time_emb_proj(jax.nn.silu(time))[:, None, None, :]
            if self.scale_shift:
                scale, shift = jnp.split(shift, 2, axis=-1)
                y = self.norm2(y) * (1 + scale) + shift
            else:
                y = self.norm2(y + shift)
        y = self.conv2(jax.nn.silu(y))
        return y + (self.conv_shortcut(x) if self.shortcut else x)


class Downsample(nnx.Module):
    """A 3x3 convolution of stride 2 that halves both axes.

    Args:
        channels: in and out.
        symmetric: True pads 1 on every side (UNets: an odd axis rounds up); False
            pads only below and to the right (autoencoders of Rombach et al. 2022).
        dtype: compute type.
        rngs: random streams for the initial values.
    """

    def __init__(
        self, channels: int, *, symmetric: bool, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        pad = (1, 1) if symmetric else (0, 1)
        self.conv = conv(channels, channels, stride=2, pad=pad, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, C]."""
        return self.conv(x)


class Upsample(nnx.Module):
    """Each value doubled along both axes, then a 3x3 convolution."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = conv(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, like: Array | None = None) -> Array:
        """[B, H, W, C] -> [B, 2H, 2W, C], or cropped to the size of ``like``."""
        batch, height, width, channels = x.shape
        x = jnp.broadcast_to(
            x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels)
        ).reshape(batch, 2 * height, 2 * width, channels)
        if like is not None:
            x = x[:, : like.shape[1], : like.shape[2]]
        return self.conv(x)
