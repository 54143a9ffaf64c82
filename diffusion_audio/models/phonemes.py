"""VITS's text encoder: the phoneme encoder of AudioLDM 2 for speech.

Kim et al. 2021, after the transformer of Glow-TTS (Kim et al. 2020) with relative
positions of Shaw et al. 2018. AudioLDM 2 takes the last states; the projection that
VITS makes its prior from it has not.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import ACTIVATIONS
from diffusion_audio.nn.conv1d import Conv1d
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import LayerNorm

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class PhonemeConfig:
    """Shape of the encoder.

    Attributes:
        vocabulary: number of phonemes and other symbols.
        width: channels of a symbol.
        depth: number of blocks.
        heads: attention heads; divides ``width``.
        hidden: channels inside the feed-forward.
        kernel: width of its convolutions, odd.
        window: distance up to which positions are told apart.
        activation: of the feed-forward, by name.
        epsilon: added to the variance in norms.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int = 183
    width: int = 192
    depth: int = 6
    heads: int = 2
    hidden: int = 768
    kernel: int = 3
    window: int = 4
    activation: str = "relu"
    epsilon: float = 1e-5
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise UserError(
                f"phonemes: width must be divisible by heads, got {self.width} and "
                f"{self.heads}"
            )
        if self.kernel % 2 == 0:
            raise UserError(f"phonemes: expected an odd kernel, got {self.kernel}")
        if self.window < 1:
            raise UserError(f"phonemes: expected a window from 1, got {self.window}")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


def near(length: int, window: int) -> np.ndarray:
    """Which keys are how far from which queries, ``window`` at most.

    Returns:
        float32 [L, L, 2 window + 1], by query, key and distance from -window on: 1 for
        the distance of the two, 0 for all where it is larger.
    """
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    each = np.arange(-window, window + 1)
    return (distance[..., None] == each).astype(np.float32)


class RelativeAttention(nnx.Module):
    """Self-attention whose keys and values know how far they are, if they are near.

    Shaw et al. 2018, equations 3 and 4; all heads share the embeddings of distances.
    """

    def __init__(self, cfg: PhonemeConfig, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width
        self.cfg = cfg
        self.to_q = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_k = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_v = dense(width, width, dtype=dtype, rngs=rngs)
        self.to_out = dense(width, width, dtype=dtype, rngs=rngs)
        shape = (2 * cfg.window + 1, width // cfg.heads)  # [R, D]
        std = shape[1] ** -0.5
        self.distance_key = nnx.Param(jnp.zeros(shape), std=std)
        self.distance_value = nnx.Param(jnp.zeros(shape), std=std)

    def __call__(self, x: Array, mask: Array) -> Array:
        """[B, L, C], mask [B, L] of the keys -> [B, L, C]."""
        cfg, dtype = self.cfg, self.cfg.dtype
        query, key, value = (
            part.reshape(*x.shape[:2], cfg.heads, -1)  # [B, L, H, D]
            for part in (self.to_q(x), self.to_k(x), self.to_v(x))
        )
        query = query * query.shape[-1] ** -0.5
        place = jnp.asarray(near(x.shape[1], cfg.window))  # [L, K, R]
        scores = jnp.einsum(
            "blhd,bkhd->bhlk", query, key, preferred_element_type=jnp.float32
        )
        distance = jnp.einsum(
            "blhd,rd->bhlr",
            query,
            self.distance_key[...].astype(dtype),
            preferred_element_type=jnp.float32,
        )
        scores = scores + jnp.einsum("bhlr,lkr->bhlk", distance, place)
        # Where no key is real, what comes out is masked; finite, so its gradient is.
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1)
        out = jnp.einsum("bhlk,bkhd->blhd", weights.astype(dtype), value)
        by_distance = jnp.einsum("bhlk,lkr->bhlr", weights, place).astype(dtype)
        out = out + jnp.einsum(
            "bhlr,rd->blhd", by_distance, self.distance_value[...].astype(dtype)
        )
        return self.to_out(out.reshape(x.shape))


class PhonemeBlock(nnx.Module):
    """Attention and convolutions, each with its norm after the sum."""

    def __init__(self, cfg: PhonemeConfig, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width
        self.cfg = cfg
        self.attn = RelativeAttention(cfg, rngs)
        self.norm1 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.conv1 = Conv1d((width, cfg.hidden), cfg.kernel, dtype=cfg.dtype, rngs=rngs)
        self.conv2 = Conv1d((cfg.hidden, width), cfg.kernel, dtype=cfg.dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)

    def __call__(self, x: Array, mask: Array) -> Array:
        """[B, L, C], mask [B, L] -> [B, L, C]."""
        kept = mask[..., None].astype(x.dtype)  # [B, L, 1]
        x = self.norm1(x + self.attn(x, mask))
        hidden = ACTIVATIONS[self.cfg.activation](self.conv1(x * kept))
        return self.norm2(x + self.conv2(hidden * kept) * kept)


class PhonemeEncoder(nnx.Module):
    """See :class:`PhonemeConfig`."""

    def __init__(self, cfg: PhonemeConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.token_embedding = embedding(
            cfg.vocabulary, cfg.width, std=cfg.width**-0.5, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List(PhonemeBlock(cfg, rngs) for _ in range(cfg.depth))

    def __call__(self, tokens: Array, mask: Array) -> Array:
        """Encodes symbols; what is masked has no influence on what is not.

        Args:
            tokens: int32 [B, L].
            mask: bool [B, L], True for real symbols.

        Returns:
            float32 [B, L, width], zeros where masked.
        """
        mask = mask.astype(bool)
        x = self.token_embedding(tokens) * self.cfg.width**0.5
        for block in self.blocks:
            x = block(x, mask)
        return jnp.where(mask[..., None], x, 0).astype(jnp.float32)


def build_phonemes(cfg: PhonemeConfig) -> Network:
    """The encoder as pure functions: ``apply(params, tokens, mask) -> [B, L, C]``."""
    return network_of(PhonemeEncoder, cfg)
