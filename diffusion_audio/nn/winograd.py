"""3x3 convolutions of feature maps with a third fewer multiplications.

Winograd's minimal filter F(2, 3) along the frames (Winograd 1980; Lavin and Gray 2016):
two outputs of a filter g of three taps over four inputs d take four products,

    m = (d0 - d2) g0,  (d1 + d2) (g0 + g1 + g2) / 2,
        (d2 - d1) (g0 - g1 + g2) / 2,  (d1 - d3) g2,
    y = m0 + m1 + m2,  m1 - m2 - m3,

instead of six. Here each product is a convolution of the rows of a kernel over the
bands, at half the frames. It is exact but for rounding, like any sum in another order.
Its gradients, too, are convolutions of which there are a third fewer.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.nn.convolution import convolve

USUAL = ((3, 3), (1, 1), (1, 1), (1, 1))  # taps, strides, zeros beyond both axes
CHANNELS = 128  # below, what is saved in products is lost in sums
PLACES = 256  # below, in the sums of the kernel, which each call makes again


def conv_general_dilated(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **same: Any,
) -> Array:
    """What `flax.nnx.Conv` calls, for layers of one group without dilation.

    A CPU computes wide float32 ones of large maps, 3x3 with one zero beyond each edge,
    as `minimal` does; accelerators, whose libraries have their own ways, do as XLA has
    it.

    Args:
        x: [B, H, W, C_in].
        kernel: [rows, columns, C_in, C_out].
        strides: of both axes.
        padding: zeros before and after both axes.
        same: what else such a layer gives; it is the same for all of them.

    Returns:
        [B, H', W', C_out].
    """
    del same
    usual = (kernel.shape[:2], tuple(strides), *map(tuple, padding)) == USUAL
    wide = min(kernel.shape[2:]) >= CHANNELS and x.dtype == jnp.float32
    large = x.shape[1] * x.shape[2] >= PLACES  # whatever the batch
    if usual and wide and large and jax.default_backend() == "cpu":
        return minimal(x, kernel)
    return convolve(x, kernel, strides, padding)


def minimal(x: Array, kernel: Array) -> Array:
    """The same convolution with the products of F(2, 3) along H."""
    batch, height, width, channels = x.shape
    pairs = -(-height // 2)
    x = jnp.pad(x, ((0, 0), (1, 2 * pairs - height + 1), (0, 0), (0, 0)))
    x = x.reshape(batch, pairs + 1, 2, width, channels)
    d0, d1 = x[:, :-1, 0], x[:, :-1, 1]  # [B, pairs, W, C]
    d2, d3 = x[:, 1:, 0], x[:, 1:, 1]
    g0, g1, g2 = kernel  # [3, C_in, C_out]
    m0 = _over_bands(d0 - d2, g0)
    m1 = _over_bands(d1 + d2, (g0 + g1 + g2) / 2)
    m2 = _over_bands(d2 - d1, (g0 - g1 + g2) / 2)
    m3 = _over_bands(d1 - d3, g2)
    y = jnp.stack([m0 + m1 + m2, m1 - m2 - m3], axis=2)
    return y.reshape(batch, 2 * pairs, width, -1)[:, :height]


def _over_bands(x: Array, rows: Array) -> Array:
    """A convolution along W with [3, C_in, C_out], of the same length."""
    return convolve(x, rows[None], (1, 1), ((0, 0), (1, 1)))
