"""Auffusion's condition adapter: a text encoder's tokens made a UNet's context."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import unknown
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense
from diffusion_audio.nn.norm import LayerNorm

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class AdapterConfig:
    """Shape of the adapter.

    Attributes:
        condition: channels of the text encoder's tokens.
        context: channels of the UNet's context.
        dtype: compute type; parameters and statistics stay float32.
    """

    condition: int
    context: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class Adapter(nnx.Module):
    """A dense layer and a norm (Xue et al. 2024, Auffusion)."""

    def __init__(self, cfg: AdapterConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.proj = dense(cfg.condition, cfg.context, dtype=dtype, rngs=rngs)
        self.norm = LayerNorm(cfg.context, dtype=dtype)

    def __call__(self, tokens: Array) -> Array:
        """[B, L, condition] -> float32 [B, L, context].

        Auffusion adapts what it has filled up to 77 tokens with zeros, and so the
        filling too: those places are the layers' biases then, and are looked at.
        """
        return self.norm(self.proj(tokens)).astype(jnp.float32)


def build_adapter(cfg: AdapterConfig) -> Network:
    """As pure functions: ``apply(params, tokens) -> [B, L, context]``."""
    return network_of(Adapter, cfg)
