"""Blocks of the Swin transformer: attention within windows of a feature map.

Liu et al. 2021. Every second block shifts its windows by half of one, around the
feature map's edges; places that lie together only that way are told apart by a bias.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.nn.layers import dense
from diffusion_audio.nn.norm import LayerNorm

MASKED = -100.0  # bias between places that are no neighbours, as published


def window_partition(x: Array, size: int) -> Array:
    """[B, H, W, C] -> [B, windows, size * size, C]; size divides H and W."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, size * size, channels)


def window_reverse(x: Array, height: int, width: int, size: int) -> Array:
    """[B, windows, size * size, C] -> [B, H, W, C]; the inverse of `windows`."""
    batch, *_, channels = x.shape
    x = x.reshape(batch, height // size, width // size, size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def relative_places(size: int) -> np.ndarray:
    """Which row of a table of biases is of each pair of places of a window.

    Returns:
        int [size^2, size^2], below (2 size - 1)^2.
    """
    rows, columns = np.divmod(np.arange(size * size), size)
    down = rows[:, None] - rows[None, :] + size - 1
    right = columns[:, None] - columns[None, :] + size - 1
    return down * (2 * size - 1) + right


def shift_bias(height: int, width: int, size: int, shift: int) -> np.ndarray:
    """Bias of scores within windows that have been shifted around the edges.

    Returns:
        float32 [windows, size^2, size^2]: 0, or -100 across an edge.
    """

    def region(length: int) -> np.ndarray:
        places = np.arange(length)
        return (places >= length - size).astype(int) + (places >= length - shift)

    regions = 3 * region(height)[:, None] + region(width)[None, :]
    grid = regions.reshape(height // size, size, width // size, size)
    grid = grid.transpose(0, 2, 1, 3).reshape(-1, size * size)
    together = grid[:, :, None] == grid[:, None, :]
    return np.where(together, 0.0, MASKED).astype(np.float32)


class WindowAttention(nnx.Module):
    """Self-attention within windows, with a learned bias for each relative place.

    Args:
        width: channels.
        heads: number of heads; divides ``width``.
        window: side of the windows.
        dtype: compute type; softmax stays float32.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.heads = heads
        self.window = window
        self.to_q = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_k = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_v = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_out = dense(width, width, dtype=dtype, rngs=rngs)
        rows = (2 * window - 1) ** 2
        self.bias_table = nnx.Param(jnp.zeros((rows, heads)), std=0.02)

    def __call__(self, x: Array, bias: np.ndarray | None = None) -> Array:
        """[B, windows, N, C] and a bias [windows, N, N] -> [B, windows, N, C]."""
        batch, count, places, width = x.shape
        shape = (batch, count, places, self.heads, width // self.heads)
        query, key, value = (
            layer(x).reshape(shape) for layer in (self.to_q, self.to_k, self.to_v)
        )
        scores = jnp.einsum(
            "bwlhd,bwkhd->bwhlk", query, key, preferred_element_type=jnp.float32
        ) * (shape[-1] ** -0.5)
        table = self.bias_table[...].astype(jnp.float32)
        learned = table[relative_places(self.window)].transpose(2, 0, 1)  # [H, N, N]
        scores = scores + learned[None, None]
        if bias is not None:
            scores = scores + jnp.asarray(bias)[None, :, None]
        weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        out = jnp.einsum("bwhlk,bwkhd->bwlhd", weights, value)
        return self.to_out(out.reshape(x.shape))


class SwinBlock(nnx.Module):
    """Attention within windows and a GELU feed-forward of 4C, pre-norm and residual.

    Args:
        width: channels.
        heads: heads of the attention.
        window: side of the windows.
        shift: by how many places the windows are shifted; 0 for none.
        dtype: compute type.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        shift: int,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.window = window
        self.shift = shift
        self.norm1 = LayerNorm(width, dtype=dtype)
        self.attn = WindowAttention(width, heads, window, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, dtype=dtype)
        self.fc1 = dense(width, 4 * width, dtype=dtype, rngs=rngs)
        self.fc2 = dense(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H, W, C]; zeros fill windows beyond the feature map."""
        x = x + self._attend(self.norm1(x))
        hidden = jax.nn.gelu(self.fc1(self.norm2(x)), approximate=False)
        return x + self.fc2(hidden)

    def _attend(self, x: Array) -> Array:
        _, height, width, _ = x.shape
        size, shift = self.window, self.shift
        below, beside = -height % size, -width % size
        y = jnp.pad(x, ((0, 0), (0, below), (0, beside), (0, 0)))
        whole = (height + below, width + beside)
        bias = None
        if shift:
            y = jnp.roll(y, (-shift, -shift), axis=(1, 2))
            bias = shift_bias(*whole, size, shift)
        y = window_reverse(self.attn(window_partition(y, size), bias), *whole, size)
        if shift:
            y = jnp.roll(y, (shift, shift), axis=(1, 2))
        return y[:, :height, :width]


class PatchMerging(nnx.Module):
    """Each square of four places becomes one of twice the channels."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm = LayerNorm(4 * width, dtype=dtype)
        self.reduction = dense(4 * width, 2 * width, bias=False, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, 2 C]; H and W are even."""
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
        # The published order: down a square's first column, then its second.
        x = x.transpose(0, 1, 3, 4, 2, 5)
        return self.reduction(
            self.norm(x.reshape(batch, height // 2, width // 2, 4 * channels))
        )
