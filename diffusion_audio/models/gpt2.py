"""GPT-2 as AudioLDM 2 uses it: a generator of continuous tokens, not of words.

Radford et al. 2019 for the network; Liu et al. 2024 (AudioLDM 2) for its
use: the last state is the next token of the "language of audio" and the next input.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import gelu_new
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import dense, embedding
from diffusion_audio.nn.norm import LayerNorm
from diffusion_audio.nn.token_attention import causal, token_attention

DTYPES = ("float32", "bfloat16")
PADDINGS = ("independent", "batch", "all")
Cache = tuple[Array, Array]
"""Keys and values of a block, [B, K, H, D] each."""


@dataclass(frozen=True)
class GPT2Config:
    """Shape of the network.

    Attributes:
        vocabulary: number of word ids; the published weights have their embedding,
            which generating continuous tokens does not use.
        positions: longest sequence, prompt and generated tokens together.
        width: channels of the tokens.
        depth: number of blocks.
        heads: attention heads; divides ``width``.
        hidden: channels inside the feed-forward.
        epsilon: added to the variance in norms.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    vocabulary: int
    positions: int
    width: int
    depth: int
    heads: int
    hidden: int
    epsilon: float = 1e-5
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(
                f"GPT-2: width must be divisible by heads, got {self.width} and "
                f"{self.heads}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class GPT2Block(nnx.Module):
    """Causal self-attention and a feed-forward, pre-norm."""

    def __init__(self, cfg: GPT2Config, rngs: nnx.Rngs):
        dtype, width = jnp.dtype(cfg.dtype), cfg.width
        self.heads = cfg.heads
        self.norm1 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.to_qkv = dense(width, 3 * width, dtype=dtype, rngs=rngs)
        self.to_out = dense(width, width, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=cfg.epsilon, dtype=dtype)
        self.fc1 = dense(width, cfg.hidden, dtype=dtype, rngs=rngs)
        self.fc2 = dense(cfg.hidden, width, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Array,
        allowed: Array,
        past: Cache | None = None,
        start: int | Array = 0,
    ) -> tuple[Array, Cache]:
        """One block over new tokens, which also look at those before them.

        Args:
            x: [B, L, C].
            allowed: bool [B, L, K], by query and key.
            past: keys and values, those of the new tokens still to be set; None where
                there is nothing but the new tokens.
            start: place of the first new token among them.

        Returns:
            [B, L, C], and keys and values with those of the new tokens.
        """
        heads = (*x.shape[:2], self.heads, -1)
        parts = jnp.split(self.to_qkv(self.norm1(x)), 3, axis=-1)
        query, key, value = (part.reshape(heads) for part in parts)
        if past is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=1)
                for old, new in zip(past, (key, value), strict=True)
            )
        y = token_attention(query, key, value, allowed)
        x = x + self.to_out(y.reshape(x.shape))
        x = x + self.fc2(gelu_new(self.fc1(self.norm2(x))))
        return x, (key, value)


class GPT2(nnx.Module):
    """See :class:`GPT2Config`."""

    def __init__(self, cfg: GPT2Config, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.token_embedding = embedding(
            cfg.vocabulary, cfg.width, std=0.02, dtype=dtype, rngs=rngs
        )
        self.position_embedding = embedding(
            cfg.positions, cfg.width, std=0.02, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List(GPT2Block(cfg, rngs) for _ in range(cfg.depth))
        self.norm_out = LayerNorm(cfg.width, epsilon=cfg.epsilon, dtype=dtype)

    def __call__(
        self, x: Array, mask: Array | None = None, *, padding: str = "independent"
    ) -> Array:
        """Last states of a sequence of continuous tokens, after the last norm.

        Args:
            x: [B, L, C], L at most ``positions``.
            mask: bool [B, L], True for real tokens; None when all are.
            padding: as of `generate`.

        Returns:
            float32 [B, L, C].

        Raises:
            UserError: L is more than ``positions``.
        """
        mask = self._check(x, mask, padding, new=0)
        x = self._embed(x, _positions(mask, padding))
        for block in self.blocks:
            x, _ = block(x, causal(mask))
        return self.norm_out(x).astype(jnp.float32)

    def generate(
        self,
        x: Array,
        mask: Array | None = None,
        *,
        steps: int,
        padding: str = "independent",
    ) -> Array:
        """Continues a prompt, each new token the last state of what is before it.

        Keys and values are kept, and the new tokens are one scan: the same tokens as
        by calling the network on the whole sequence once a token.

        Args:
            x: [B, L, C], L and ``steps`` together at most ``positions``.
            mask: bool [B, L], True for real tokens; None when all are.
            steps: number of tokens to make, 1 or more.
            padding: ``"independent"`` counts real tokens only and goes on from the last
                of them, so a prompt's continuation is the same with any padding, and
                beside any other prompts. ``"batch"`` counts all places that are real in
                some row and goes on from the last place, as AudioLDM 2's code does,
                original and diffusers, which fills up to the longest prompt of a batch:
                there a prompt's tokens depend on the longest one beside it. ``"all"``
                counts every place, as where all texts are filled up to one length.

        Returns:
            float32 [B, steps, C].

        Raises:
            UserError: there are not positions enough, or nothing to make.
        """
        if steps < 1:
            raise UserError(f"GPT-2: expected steps to be 1 or more, got {steps}")
        mask = self._check(x, mask, padding, new=steps)
        batch, length, width = x.shape
        size = length + steps - 1  # nobody looks at the last token
        positions = _positions(mask, padding)
        dtype = jnp.dtype(self.cfg.dtype)
        empty = jnp.zeros((batch, size, self.cfg.heads, width // self.cfg.heads), dtype)
        allowed = jnp.pad(causal(mask), ((0, 0), (0, 0), (0, steps - 1)))
        y, caches = self._embed(x, positions), []
        for block in self.blocks:
            y, cache = block(y, allowed, (empty, empty))
            caches.append(cache)
        real = _counted(mask, padding)
        last = jnp.broadcast_to(length - 1 - jnp.argmax(real[:, ::-1], axis=1), batch)
        rows = jnp.arange(batch)
        first = self.norm_out(y[rows, last])
        place = positions[rows, last]

        def step(
            carry: tuple[Array, list[Cache]], number: Array
        ) -> tuple[tuple[Array, list[Cache]], Array]:
            token, caches = carry
            new = jnp.arange(steps - 1) <= number
            seen = jnp.concatenate(
                [mask, jnp.broadcast_to(new[None], (batch, steps - 1))], axis=1
            )
            y = self._embed(token[:, None], (place + 1 + number)[:, None])
            filled = []
            for block, cache in zip(self.blocks, caches, strict=True):
                y, cache = block(y, seen[:, None], cache, length + number)
                filled.append(cache)
            token = self.norm_out(y[:, 0])
            return (token, filled), token

        _, rest = jax.lax.scan(step, (first, caches), jnp.arange(steps - 1))
        tokens = jnp.concatenate([first[:, None], rest.swapaxes(0, 1)], axis=1)
        return tokens.astype(jnp.float32)

    def _check(self, x: Array, mask: Array | None, padding: str, new: int) -> Array:
        """The mask, where all is well."""
        if padding not in PADDINGS:
            raise unknown("padding", padding, PADDINGS)
        if x.shape[1] + new > self.cfg.positions:
            raise UserError(
                f"GPT-2: expected at most {self.cfg.positions} tokens, got "
                f"{x.shape[1]} and {new} new ones; cut the text"
            )
        return jnp.ones(x.shape[:2], bool) if mask is None else mask.astype(bool)

    def _embed(self, x: Array, positions: Array) -> Array:
        """[B, L, C] and positions [B, L] -> the first block's input."""
        return x.astype(self.cfg.dtype) + self.position_embedding(positions)


def _counted(mask: Array, padding: str) -> Array:
    """The places of [B, L] that are counted as a token's, bool [B, L]."""
    if padding == "all":
        return jnp.ones_like(mask)
    if padding == "batch":  # up to the longest text, whatever fills it up further
        return jnp.broadcast_to(mask.any(axis=0), mask.shape)
    return mask


def _positions(mask: Array, padding: str) -> Array:
    """The position of each token of [B, L]."""
    counted = _counted(mask, padding)
    return jnp.maximum(jnp.cumsum(counted, axis=1, dtype=jnp.int32) - 1, 0)


def build_gpt2(cfg: GPT2Config) -> Network:
    """The network as pure functions: ``apply(params, x, mask) -> [B, L, C]``.

    ``apply(params, x, mask, method="generate", steps=8) -> [B, 8, C]`` continues it.
    """
    return network_of(GPT2, cfg)
