"""PaSST: a transformer over overlapping patches of a mel (Koutini et al. 2022).

Stable Audio and those after it measure the Kullback-Leibler divergence with its logits.
A patch knows where it is by a vector of its time and one of its band; a class token and
one of distillation (Touvron et al. 2021) gather what the classes are told from.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.activations import gelu
from diffusion_audio.nn.attention import Attention
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.norm import LayerNorm

DTYPES = ("float32", "bfloat16")
STD = 0.02  # of tokens and places at the start


@dataclass(frozen=True)
class PasstConfig:
    """Shape of the network. The defaults are PaSST-S's.

    Attributes:
        width: channels.
        depth: blocks.
        heads: of their attention.
        n_mels: mel bands of the input.
        frames: that there are places for; fewer take the first places.
        patch: side of a patch.
        stride: from patch to patch, along both axes.
        classes: sounds that it tells apart.
        dtype: compute type; parameters, norms, softmax and the classes stay float32.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    n_mels: int = 128
    frames: int = 998
    patch: int = 16
    stride: int = 10
    classes: int = 527
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(
                f"PaSST: expected heads that divide width={self.width}, got "
                f"{self.heads}"
            )
        if not 1 <= self.stride <= self.patch <= min(self.n_mels, self.frames):
            raise UserError(
                "PaSST: expected stride <= patch <= n_mels and frames, got "
                f"stride={self.stride}, patch={self.patch}, n_mels={self.n_mels}, "
                f"frames={self.frames}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    def patches(self, size: int) -> int:
        """Patches along an axis of so many frames or bands."""
        return 1 + (size - self.patch) // self.stride

    @property
    def most_frames(self) -> int:
        """Of an input: a few more than there are places for are not seen."""
        return self.patches(self.frames) * self.stride + self.patch - 1


class Block(nnx.Module):
    """Self-attention and a GELU feed-forward of 4C, pre-norm and residual."""

    def __init__(self, width: int, heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm1 = LayerNorm(width, epsilon=1e-6, dtype=dtype)
        self.attn = Attention(width, heads, bias=True, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=1e-6, dtype=dtype)
        self.fc1 = dense(width, 4 * width, dtype=dtype, rngs=rngs)
        self.fc2 = dense(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, L, C] -> [B, L, C]."""
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(gelu(self.fc1(self.norm2(x))))


class Passt(nnx.Module):
    """See :class:`PasstConfig`."""

    def __init__(self, cfg: PasstConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.patches = conv(
            1,
            cfg.width,
            cfg.patch,
            stride=cfg.stride,
            pad=(0, 0),
            dtype=dtype,
            rngs=rngs,
        )
        rows, columns = cfg.patches(cfg.n_mels), cfg.patches(cfg.frames)
        self.bands = nnx.Param(jnp.zeros((rows, cfg.width)), std=STD)
        self.times = nnx.Param(jnp.zeros((columns, cfg.width)), std=STD)
        self.class_token = nnx.Param(jnp.zeros(cfg.width), std=STD)
        self.distillation_token = nnx.Param(jnp.zeros(cfg.width), std=STD)
        self.token_places = nnx.Param(jnp.zeros((2, cfg.width)), std=STD)
        self.blocks = nnx.List(
            Block(cfg.width, cfg.heads, dtype=dtype, rngs=rngs)
            for _ in range(cfg.depth)
        )
        self.norm = LayerNorm(cfg.width, epsilon=1e-6, dtype=jnp.float32)
        self.head_norm = LayerNorm(cfg.width, dtype=jnp.float32)
        self.classify = dense(cfg.width, cfg.classes, dtype=jnp.float32, rngs=rngs)

    def __call__(self, mel: Array) -> tuple[Array, Array]:
        """Log-mels to an embedding and the logits of the classes.

        Args:
            mel: [B, T, n_mels], as `audio.passt_mel` makes them.

        Returns:
            float32 [B, width], the mean of both tokens, and [B, classes].

        Raises:
            UserError: the mels are not that, too short for a patch or longer than there
                are places.
        """
        cfg = self.cfg
        most = cfg.most_frames
        if mel.ndim != 3 or mel.shape[2] != cfg.n_mels:
            raise UserError(
                f"PaSST: expected mels [B, T, {cfg.n_mels}], got {list(mel.shape)}"
            )
        if not cfg.patch <= mel.shape[1] <= most:
            raise UserError(
                f"PaSST: expected {cfg.patch} to {most} frames, got {mel.shape[1]}"
            )
        dtype = jnp.dtype(cfg.dtype)
        x = self.patches(mel.swapaxes(1, 2)[..., None].astype(dtype))  # [B, F, T, C]
        batch, _, columns, width = x.shape
        x = x + self.times[...].astype(dtype)[None, None, :columns]
        x = x + self.bands[...].astype(dtype)[None, :, None]
        tokens = jnp.stack([self.class_token[...], self.distillation_token[...]])
        tokens = (tokens + self.token_places[...]).astype(dtype)[None]
        tokens = jnp.broadcast_to(tokens, (batch, 2, width))
        x = jnp.concatenate([tokens, x.reshape(batch, -1, width)], axis=1)
        for block in self.blocks:
            x = block(x)
        embedding = self.norm(x[:, :2]).mean(axis=1)
        return embedding, self.classify(self.head_norm(embedding))


def build_passt(cfg: PasstConfig) -> Network:
    """As functions: ``apply(params, mel) -> (embedding, logits)``."""
    return network_of(Passt, cfg)
