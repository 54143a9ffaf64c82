"""CLIP's text tower: the text encoder of Stable Diffusion and of Auffusion.

Radford et al. 2021, section 2.4: a causal transformer, whose last state at the token
that ends the text stands for all of it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import ACTIVATIONS
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import LayerNorm
from diffusion_audio.nn.token_attention import causal, token_attention

DTYPES = ("float32", "bfloat16")
OLD_EOS = 2  # what configs of before June 2023 say, and no tokenizer ever gave


@dataclass(frozen=True)
class ClipTextConfig:
    """Shape of the encoder.

    Attributes:
        vocabulary: number of token ids.
        max_tokens: longest sequence, the number of learned positions.
        width: channels of the tokens.
        depth: number of blocks.
        heads: attention heads; divides ``width``.
        hidden: channels inside the feed-forward.
        activation: its activation, by name.
        eos: id of the token that ends a text; 2, as in old configs, stands for the
            highest id of the sequence.
        epsilon: added to the variance in norms.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int
    max_tokens: int
    width: int
    depth: int
    heads: int
    hidden: int
    activation: str = "quick_gelu"
    eos: int = OLD_EOS
    epsilon: float = 1e-5
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(
                f"CLIP: width must be divisible by heads, got {self.width} and "
                f"{self.heads}"
            )
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class ClipText(NamedTuple):
    """A text as CLIP sees it.

    Attributes:
        tokens: float32 [B, L, C], the last states after the last norm.
        vector: float32 [B, C], that of the token which ends the text.
    """

    tokens: Array
    vector: Array


class ClipBlock(nnx.Module):
    """Self-attention and a feed-forward, pre-norm."""

    def __init__(self, cfg: ClipTextConfig, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width
        self.cfg = cfg
        self.norm1 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.to_q = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_k = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_v = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_out = dense(width, width, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.fc1 = dense(width, cfg.hidden, dtype=dtype, rngs=rngs)
        self.fc2 = dense(cfg.hidden, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, allowed: Array) -> Array:
        """[B, L, C], allowed [B or 1, L, L] -> [B, L, C]."""
        y = self.norm1(x)
        query, key, value = (
            part.reshape(*x.shape[:2], self.cfg.heads, -1)
            for part in (self.to_q(y), self.to_k(y), self.to_v(y))
        )
        y = token_attention(query, key, value, allowed)
        x = x + self.to_out(y.reshape(x.shape))
        act = ACTIVATIONS[self.cfg.activation]
        return x + self.fc2(act(self.fc1(self.norm2(x))))


class ClipTextEncoder(nnx.Module):
    """See :class:`ClipTextConfig`."""

    def __init__(self, cfg: ClipTextConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.token_embedding = embedding(
            cfg.vocabulary, cfg.width, std=0.02, dtype=dtype, rngs=rngs
        )
        self.position_embedding = embedding(
            cfg.max_tokens, cfg.width, std=0.01, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List(ClipBlock(cfg, rngs) for _ in range(cfg.depth))
        self.norm_out = LayerNorm(cfg.width, epsilon=cfg.epsilon, dtype=dtype)

    def __call__(self, tokens: Array, mask: Array | None = None) -> ClipText:
        """Encodes token ids.

        Stable Diffusion and Auffusion give no mask, so what pads a text up to 77 tokens
        is read like words, though only by what comes after it.

        Args:
            tokens: int32 [B, L], L at most ``max_tokens``.
            mask: bool [B, L], True for tokens to look at; None for all.

        Raises:
            UserError: L is more than ``max_tokens``.
        """
        cfg, length = self.cfg, tokens.shape[1]
        if length > cfg.max_tokens:
            raise UserError(
                f"CLIP: expected at most {cfg.max_tokens} tokens, got {length}; cut "
                "the text"
            )
        kept = jnp.ones((1, length), bool) if mask is None else mask.astype(bool)
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(jnp.arange(length))[None]
        for block in self.blocks:
            x = block(x, causal(kept))
        x = self.norm_out(x).astype(jnp.float32)
        ends = tokens if cfg.eos == OLD_EOS else tokens == cfg.eos
        last = jnp.argmax(ends, axis=1)  # the first place, if there are several
        return ClipText(x, x[jnp.arange(len(x)), last])


def build_clip_text(cfg: ClipTextConfig) -> Network:
    """The encoder as pure functions: ``apply(params, tokens, mask) -> ClipText``."""
    return network_of(ClipTextEncoder, cfg)
