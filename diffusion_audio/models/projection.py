"""What AudioLDM 2 puts before its GPT-2: two encoders' tokens made one sequence."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.condition import Context
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class ProjectionConfig:
    """Shape of the projections.

    Attributes:
        first: channels of the first encoder's tokens (CLAP's vector, one token).
        second: channels of the second encoder's (T5's, or phonemes').
        width: channels of the sequence.
        positions: learned positions added to the second encoder's tokens, which speech
            models have; 0 for none.
        dtype: compute type; parameters stay float32.
    """

    first: int
    second: int
    width: int
    positions: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class Projection(nnx.Module):
    """Two dense layers, and learned tokens that begin and end either part."""

    def __init__(self, cfg: ProjectionConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.project_1 = dense(cfg.first, cfg.width, dtype=dtype, rngs=rngs)
        self.project_2 = dense(cfg.second, cfg.width, dtype=dtype, rngs=rngs)
        self.begin_1 = nnx.Param(jnp.zeros(cfg.width), std=1.0)
        self.end_1 = nnx.Param(jnp.zeros(cfg.width), std=1.0)
        self.begin_2 = nnx.Param(jnp.zeros(cfg.width), std=1.0)
        self.end_2 = nnx.Param(jnp.zeros(cfg.width), std=1.0)
        if cfg.positions:
            self.positions = nnx.Param(jnp.zeros((cfg.positions, cfg.second)))

    def __call__(self, first: Context, second: Context) -> Context:
        """The sequence ``begin first end begin second end``.

        Args:
            first: tokens [B, K, first].
            second: tokens [B, L, second].

        Returns:
            float32 [B, K + L + 4, width], and its mask; None where neither has one.

        Raises:
            UserError: there are more tokens than positions.
        """
        tokens = second.tokens
        if self.cfg.positions:
            if tokens.shape[1] > self.cfg.positions:
                raise UserError(
                    f"projection: expected at most {self.cfg.positions} tokens of the "
                    f"second encoder, got {tokens.shape[1]}; cut the text"
                )
            tokens = tokens + self.positions[...][None, : tokens.shape[1]]
        x = jnp.concatenate(
            [
                *_between(self.begin_1, self.project_1(first.tokens), self.end_1),
                *_between(self.begin_2, self.project_2(tokens), self.end_2),
            ],
            axis=1,
        )
        if first.mask is None and second.mask is None:
            return Context(x)
        masks = [_opened(first), _opened(second)]
        return Context(x, jnp.concatenate(masks, axis=1))


def _between(begin: nnx.Param, x: Array, end: nnx.Param) -> list[Array]:
    """Learned tokens before and after [B, L, C], in float32."""
    row = (len(x), 1, x.shape[-1])
    return [
        jnp.broadcast_to(begin[...][None, None], row),
        x.astype(jnp.float32),
        jnp.broadcast_to(end[...][None, None], row),
    ]


def _opened(context: Context) -> Array:
    """The mask of a part with the tokens around it, bool [B, L + 2]."""
    mask = context.mask
    if mask is None:
        mask = jnp.ones(context.tokens.shape[:2], bool)
    return jnp.pad(mask.astype(bool), ((0, 0), (1, 1)), constant_values=True)


def build_projection(cfg: ProjectionConfig) -> Network:
    """As pure functions: ``apply(params, first, second) -> Context``."""
    return network_of(Projection, cfg)
