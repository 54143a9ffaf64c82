"""T5's encoder: the text encoder of AudioLDM 2 and of many others.

Raffel et al. 2020, and its versions 1.1 and Flan (Chung et al. 2022), which gate the
feed-forward (Shazeer 2020). It differs from other transformers in that only relative
positions count, that scores are not scaled, and that norms neither centre nor shift.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import ACTIVATIONS
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import RMSNorm
from diffusion_audio.nn.token_attention import token_attention

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class T5Config:
    """Shape of the encoder.

    Attributes:
        vocabulary: number of token ids.
        width: channels of the tokens.
        depth: number of blocks.
        heads: attention heads.
        head_width: channels of a head; heads together may be wider than ``width``.
        hidden: channels inside the feed-forward.
        activation: its activation, by name.
        gated: whether it has a gate, as since version 1.1.
        buckets: number of classes of relative positions, half of them for each side.
        max_distance: from this distance on all are of one class.
        epsilon: added to the mean square in norms.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int
    width: int
    depth: int
    heads: int
    head_width: int
    hidden: int
    activation: str = "gelu_new"
    gated: bool = True
    buckets: int = 32
    max_distance: int = 128
    epsilon: float = 1e-6
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.buckets < 4 or self.buckets % 2:
            raise UserError(
                f"T5: expected an even number of buckets, 4 or more, got {self.buckets}"
            )
        if self.max_distance <= self.buckets // 4:
            raise UserError(
                f"T5: max_distance must be above a quarter of the {self.buckets} "
                f"buckets, got {self.max_distance}"
            )


def relative_buckets(length: int, buckets: int, max_distance: int) -> np.ndarray:
    """The class of each key's position relative to each query's.

    Raffel et al. 2020, section 2.1. Half of the classes are for keys that come later.
    Of either half the first half has one distance each, the rest have ranges that grow
    by the logarithm up to ``max_distance``.

    Returns:
        int32 [L, L], by query and key.
    """
    half = buckets // 2
    exact = half // 2
    relative = np.arange(length)[None, :] - np.arange(length)[:, None]
    distance = np.abs(relative)
    # In float32 and in this order: at the bounds of the ranges rounding decides.
    far = np.log(np.maximum(distance, exact).astype(np.float32) / np.float32(exact))
    far = far / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + far.astype(np.int32), half - 1)
    side = np.where(relative > 0, half, 0)
    return (side + np.where(distance < exact, distance, far)).astype(np.int32)


class T5Block(nnx.Module):
    """Self-attention and a feed-forward, pre-norm, without any bias of a layer."""

    def __init__(self, cfg: T5Config, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)

        def linear(c_in: int, c_out: int) -> nnx.Linear:
            return dense(c_in, c_out, bias=False, dtype=dtype, rngs=rngs)

        inner = cfg.heads * cfg.head_width
        self.cfg = cfg
        self.norm1 = RMSNorm(cfg.width, epsilon=cfg.epsilon, dtype=dtype)
        self.to_q = linear(cfg.width, inner)
        self.to_k = linear(cfg.width, inner)
        self.to_v = linear(cfg.width, inner)
        self.to_out = linear(inner, cfg.width)
        self.norm2 = RMSNorm(cfg.width, epsilon=cfg.epsilon, dtype=dtype)
        self.gate = linear(cfg.width, cfg.hidden) if cfg.gated else None
        self.up = linear(cfg.width, cfg.hidden)
        self.down = linear(cfg.hidden, cfg.width)

    def __call__(self, x: Array, allowed: Array, bias: Array) -> Array:
        """[B, L, C], allowed [B or 1, L, L], bias [H, L, L] -> [B, L, C]."""
        y = self.norm1(x)
        query, key, value = (
            part.reshape(*x.shape[:2], self.cfg.heads, self.cfg.head_width)
            for part in (self.to_q(y), self.to_k(y), self.to_v(y))
        )
        y = token_attention(query, key, value, allowed, bias=bias, scale=1.0)
        x = x + self.to_out(y.reshape(*x.shape[:2], -1))
        y, act = self.norm2(x), ACTIVATIONS[self.cfg.activation]
        hidden = self.up(y)
        hidden = act(hidden) if self.gate is None else act(self.gate(y)) * hidden
        return x + self.down(hidden)


class T5Encoder(nnx.Module):
    """See :class:`T5Config`; all blocks share the first one's biases of position."""

    def __init__(self, cfg: T5Config, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.token_embedding = embedding(
            cfg.vocabulary, cfg.width, std=1.0, dtype=dtype, rngs=rngs
        )
        self.relative_bias = embedding(
            cfg.buckets, cfg.heads, std=cfg.width**-0.5, dtype=jnp.float32, rngs=rngs
        )
        self.blocks = nnx.List(T5Block(cfg, rngs) for _ in range(cfg.depth))
        self.norm_out = RMSNorm(cfg.width, epsilon=cfg.epsilon, dtype=dtype)

    def __call__(self, tokens: Array, mask: Array | None = None) -> Array:
        """Encodes token ids; what is masked has no influence on what is not.

        Args:
            tokens: int32 [B, L].
            mask: bool [B, L], True for real tokens; None when all are.

        Returns:
            float32 [B, L, width].
        """
        cfg, length = self.cfg, tokens.shape[1]
        classes = relative_buckets(length, cfg.buckets, cfg.max_distance)
        bias = self.relative_bias(jnp.asarray(classes)).transpose(2, 0, 1)
        kept = jnp.ones((1, length), bool) if mask is None else mask.astype(bool)
        allowed = jnp.broadcast_to(kept[:, None, :], (len(kept), length, length))
        x = self.token_embedding(tokens)
        for block in self.blocks:
            x = block(x, allowed, bias)
        return self.norm_out(x).astype(jnp.float32)


def build_t5(cfg: T5Config) -> Network:
    """The encoder as pure functions: ``apply(params, tokens, mask) -> [B, L, C]``."""
    return network_of(T5Encoder, cfg)
