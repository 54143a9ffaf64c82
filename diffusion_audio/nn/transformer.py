"""Transformer blocks: inside a UNet (over a feature map) and over text."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.nn.attention import Attention
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.norm import GroupNorm, LayerNorm


class GEGLU(nnx.Module):
    """Feed-forward with a gated GELU (Shazeer 2020): C -> 2 x 4C -> 4C -> C."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.proj = dense(width, 8 * width, dtype=dtype, rngs=rngs)
        self.out = dense(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[..., C] -> [..., C]."""
        hidden, gate = jnp.split(self.proj(x), 2, axis=-1)
        return self.out(hidden * jax.nn.gelu(gate, approximate=False))


class BasicTransformerBlock(nnx.Module):
    """Self-attention, attention to a context, GEGLU; each pre-norm and residual.

    Args:
        width: channels.
        heads: heads of both attentions.
        context: channels of the context; None makes the second a self-attention.
        dtype: compute type.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context: int | None,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.norm1 = LayerNorm(width, dtype=dtype)
        self.attn1 = Attention(width, heads, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, dtype=dtype)
        self.attn2 = Attention(width, heads, context, dtype=dtype, rngs=rngs)
        self.norm3 = LayerNorm(width, dtype=dtype)
        self.ff = GEGLU(width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Array, context: Array | None = None, mask: Array | None = None
    ) -> Array:
        """[B, L, C], context [B, K, D], mask [B, K] -> [B, L, C]."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context, mask)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nnx.Module):
    """Transformer blocks over the places of a feature map (Rombach et al. 2022).

    The output projection starts at zero, as in the originals, so that a new stack
    starts as the identity.

    Args:
        width: channels of the feature map.
        heads: heads.
        context: channels of the context, or None for self-attention only.
        depth: number of blocks.
        groups: groups of the norm before them.
        projection: ``"conv"`` (1x1 kernels) or ``"linear"``: the same function,
            with the kernels in the shape that published weights have.
        dtype: compute type.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context: int | None,
        *,
        depth: int,
        groups: int,
        projection: str,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        def project(zero: bool) -> nnx.Linear | nnx.Conv:
            if projection == "linear":
                return dense(width, width, zero=zero, dtype=dtype, rngs=rngs)
            return conv(width, width, 1, zero=zero, dtype=dtype, rngs=rngs)

        self.norm = GroupNorm(width, groups, epsilon=1e-6, dtype=dtype)
        self.proj_in = project(zero=False)
        self.transformer_blocks = nnx.List(
            BasicTransformerBlock(width, heads, context, dtype=dtype, rngs=rngs)
            for _ in range(depth)
        )
        self.proj_out = project(zero=True)

    def __call__(
        self, x: Array, context: Array | None = None, mask: Array | None = None
    ) -> Array:
        """[B, H, W, C], context [B, K, D], mask [B, K] -> [B, H, W, C]."""
        batch, height, width, channels = x.shape
        y = self.proj_in(self.norm(x)).reshape(batch, height * width, channels)
        for block in self.transformer_blocks:
            y = block(y, context, mask)
        return x + self.proj_out(y.reshape(x.shape))


class TextBlock(nnx.Module):
    """Pre-norm self-attention and a GELU feed-forward of 4C, for tokens."""

    def __init__(self, width: int, heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm1 = LayerNorm(width, dtype=dtype)
        self.attn = Attention(width, heads, bias=True, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, dtype=dtype)
        self.fc1 = dense(width, 4 * width, dtype=dtype, rngs=rngs)
        self.fc2 = dense(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, mask: Array) -> Array:
        """[B, L, C], mask [B, L] -> [B, L, C]."""
        x = x + self.attn(self.norm1(x), mask=mask)
        return x + self.fc2(jax.nn.gelu(self.fc1(self.norm2(x))))
