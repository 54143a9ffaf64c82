"""CLAP's text tower: RoBERTa and a projection into the space shared with sounds.

Liu et al. 2019 for RoBERTa, Wu et al. 2023 (LAION's CLAP) for what follows it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import gelu
from diffusion_audio.nn.attention import Attention
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import LayerNorm

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class RobertaConfig:
    """Shape of the tower.

    Attributes:
        vocabulary: number of token ids.
        positions: learned positions, of which those up to ``padding`` count no token.
        width: channels of the tokens.
        depth: number of blocks.
        heads: attention heads; divides ``width``.
        hidden: channels inside the feed-forward.
        projection: width of the vector that is shared with sounds.
        types: kinds of segments, of which the first is used.
        padding: id of the token that fills a batch.
        epsilon: added to the variance in norms: 1e-12 in transformers' CLAP, 1e-5 in
            RoBERTa and so in the original CLAP.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int
    positions: int
    width: int
    depth: int
    heads: int
    hidden: int
    projection: int
    types: int = 1
    padding: int = 1
    epsilon: float = 1e-12
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(
                f"RoBERTa: width must be divisible by heads, got {self.width} and "
                f"{self.heads}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    @property
    def max_tokens(self) -> int:
        """Longest sequence."""
        return self.positions - self.padding - 1


class RobertaBlock(nnx.Module):
    """Self-attention and a feed-forward, each with its norm after the sum."""

    def __init__(self, cfg: RobertaConfig, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width
        self.attn = Attention(width, cfg.heads, bias=True, dtype=dtype, rngs=rngs)
        self.norm1 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.fc1 = dense(width, cfg.hidden, dtype=dtype, rngs=rngs)
        self.fc2 = dense(cfg.hidden, width, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)

    def __call__(self, x: Array, mask: Array) -> Array:
        """[B, L, C], mask [B, L] -> [B, L, C]."""
        x = self.norm1(x + self.attn(x, mask=mask))
        return self.norm2(x + self.fc2(gelu(self.fc1(x))))


class ClapTextEncoder(nnx.Module):
    """See :class:`RobertaConfig`."""

    def __init__(self, cfg: RobertaConfig, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width

        def table(rows: int) -> nnx.Embed:
            return embedding(rows, width, std=0.02, dtype=dtype, rngs=rngs)

        self.cfg = cfg
        self.token_embedding = table(cfg.vocabulary)
        self.position_embedding = table(cfg.positions)
        self.type_embedding = table(cfg.types)
        self.norm_in = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.blocks = nnx.List(RobertaBlock(cfg, rngs) for _ in range(cfg.depth))
        self.pooler = dense(width, width, dtype=dtype, rngs=rngs)
        self.linear1 = dense(width, cfg.projection, dtype=dtype, rngs=rngs)
        self.linear2 = dense(cfg.projection, cfg.projection, dtype=dtype, rngs=rngs)

    def encode(self, tokens: Array, mask: Array | None = None) -> Array:
        """RoBERTa's last states.

        A token's position is how many tokens there are up to it, padding not counted,
        from ``padding + 1`` on; padding itself has the position ``padding``.

        Args:
            tokens: int32 [B, L], L at most ``max_tokens``.
            mask: bool [B, L], True for tokens to look at; None for all but padding.

        Returns:
            [B, L, width].

        Raises:
            UserError: L is more than ``max_tokens``.
        """
        cfg, length = self.cfg, tokens.shape[1]
        if length > cfg.max_tokens:
            raise UserError(
                f"RoBERTa: expected at most {cfg.max_tokens} tokens, got {length}; cut "
                "the text"
            )
        real = tokens != cfg.padding
        number = jnp.cumsum(real, axis=1, dtype=jnp.int32)
        positions = cfg.padding + jnp.where(real, number, 0)
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        x = self.norm_in(x + self.type_embedding(jnp.zeros((1, 1), jnp.int32)))
        keep = real if mask is None else mask.astype(bool)
        for block in self.blocks:
            x = block(x, keep)
        return x

    def __call__(self, tokens: Array, mask: Array | None = None) -> Array:
        """A text's place among sounds; arguments and errors as of `encode`.

        Returns:
            float32 [B, projection], of length 1.
        """
        first = jnp.tanh(self.pooler(self.encode(tokens, mask)[:, 0]))
        vector = self.linear2(jax.nn.relu(self.linear1(first))).astype(jnp.float32)
        length = jnp.linalg.norm(vector, axis=-1, keepdims=True)
        return vector / jnp.maximum(length, 1e-12)


def build_clap_text(cfg: RobertaConfig) -> Network:
    """The tower as pure functions: ``apply(params, tokens, mask) -> [B, projection]``.

    ``apply(..., method="encode")`` gives RoBERTa's states instead.
    """
    return network_of(ClapTextEncoder, cfg)
