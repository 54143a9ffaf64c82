"""A small text encoder trained from scratch together with the denoiser."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import LayerNorm
from diffusion_audio.nn.transformer import TextBlock

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class TextConfig:
    """Shape of the encoder; lists are taken for tuples.

    Attributes:
        vocabulary: number of token ids; id 0 is padding.
        max_tokens: longest sequence, the number of learned positions.
        contexts: width of each context to make, one projection each.
        vector_dim: width of the pooled vector to make, or None.
        width: channels inside.
        depth: number of transformer blocks.
        heads: attention heads; divides ``width``.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int
    max_tokens: int
    contexts: tuple[int, ...] = ()
    vector_dim: int | None = None
    width: int = 128
    depth: int = 2
    heads: int = 4
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "contexts", tuple(self.contexts))
        if self.width % self.heads:
            raise UserError(
                f"text encoder: width must be divisible by heads, got {self.width} "
                f"and {self.heads}"
            )
        if not self.contexts and self.vector_dim is None:
            raise UserError(
                "text encoder: expected contexts or vector_dim, got neither; "
                "it would have no output"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class TextEncoder(nnx.Module):
    """Token and position embeddings, pre-norm blocks, one projection an output.

    Token embeddings start at unit scale (T5; Raffel et al. 2020), far above those of
    the positions, so that a new encoder already tells words apart. The vector is the
    mean over the tokens brought to unit scale, as CLAP's is: without that a caption of
    a dozen words would start a dozen times too weak for the denoiser to listen.
    """

    def __init__(self, cfg: TextConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.token_embedding = embedding(
            cfg.vocabulary, cfg.width, std=1.0, dtype=dtype, rngs=rngs
        )
        self.position_embedding = embedding(
            cfg.max_tokens, cfg.width, std=0.02, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List(
            TextBlock(cfg.width, cfg.heads, dtype=dtype, rngs=rngs)
            for _ in range(cfg.depth)
        )
        self.norm_out = LayerNorm(cfg.width, dtype=dtype)
        self.contexts = nnx.List(
            dense(cfg.width, width, dtype=dtype, rngs=rngs) for width in cfg.contexts
        )
        if cfg.vector_dim is not None:
            self.vector = dense(cfg.width, cfg.vector_dim, dtype=dtype, rngs=rngs)

    def __call__(self, tokens: Array) -> Condition:
        """Encodes padded token ids.

        Padding has no influence. A caption of padding alone is the unconditional
        input: its mask is empty, which attention answers with zeros, and its vector
        is the projection's bias.

        Args:
            tokens: int32 [B, L], L at most ``max_tokens``, 0 for padding.

        Returns:
            Contexts [B, L, width] with their mask, and the vector [B, vector_dim].

        Raises:
            UserError: L is more than ``max_tokens``.
        """
        length = tokens.shape[1]
        if length > self.cfg.max_tokens:
            raise UserError(
                f"text encoder: expected at most {self.cfg.max_tokens} tokens, "
                f"got {length}"
            )
        mask = tokens != 0
        x = self.token_embedding(tokens)
        x = x + self.position_embedding(jnp.arange(length))[None]
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm_out(x)
        contexts = tuple(Context(project(x), mask) for project in self.contexts)
        if self.cfg.vector_dim is None:
            return Condition(contexts)
        weight = mask[:, :, None].astype(x.dtype)
        mean = (x * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)
        power = jnp.square(mean).mean(axis=-1, keepdims=True)
        unit = mean * jax.lax.rsqrt(power + 1e-6)
        return Condition(contexts, self.vector(unit))


def build_text(cfg: TextConfig) -> Network:
    """The encoder as pure functions: ``apply(params, tokens) -> Condition``."""
    return network_of(TextEncoder, cfg)
