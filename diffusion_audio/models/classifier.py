"""A small classifier of log-mels: attributes of generated clips, and an embedding."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.norm import GroupNorm

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of the classifier; lists are taken for tuples.

    Attributes:
        classes: number of classes of each attribute, one softmax head each.
        n_mels: mel bands of the input.
        channels: width of each stage; each halves both axes.
        embedding: width of the embedding before the heads.
        groups: groups of every GroupNorm; divides every width.
        dtype: compute type; parameters and statistics stay float32.
    """

    classes: tuple[int, ...]
    n_mels: int
    channels: tuple[int, ...] = (32, 64, 96, 128)
    embedding: int = 128
    groups: int = 8
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("classes", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if any(width % self.groups for width in self.channels):
            raise UserError(
                f"classifier: channels must be divisible by groups={self.groups}, "
                f"got {self.channels}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class Stage(nnx.Module):
    """Two normed 3x3 convolutions, the first of stride 2."""

    def __init__(
        self, c_in: int, c_out: int, groups: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.conv1 = conv(c_in, c_out, stride=2, dtype=dtype, rngs=rngs)
        self.norm1 = GroupNorm(c_out, groups, dtype=dtype)
        self.conv2 = conv(c_out, c_out, dtype=dtype, rngs=rngs)
        self.norm2 = GroupNorm(c_out, groups, dtype=dtype)

    def __call__(self, x: Array) -> Array:
        """[B, T, F, c_in] -> [B, T / 2, F / 2, c_out], odd axes rounded up."""
        x = jax.nn.silu(self.norm1(self.conv1(x)))
        return jax.nn.silu(self.norm2(self.conv2(x)))


class Classifier(nnx.Module):
    """Convolutions, a mean over time, one dense layer, one head per attribute.

    Frequency is kept to the end, for pitch; a second input channel holds the time
    from -1 to 1, so that the mean over time can still tell early from late.
    """

    def __init__(self, cfg: ClassifierConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.stages: nnx.List[Stage] = nnx.List()
        width, bands = 2, cfg.n_mels
        for channels in cfg.channels:
            self.stages.append(
                Stage(width, channels, cfg.groups, dtype=dtype, rngs=rngs)
            )
            width, bands = channels, -(-bands // 2)
        self.dense = dense(width * bands, cfg.embedding, dtype=dtype, rngs=rngs)
        self.heads = nnx.List(
            dense(cfg.embedding, classes, dtype=dtype, rngs=rngs)
            for classes in cfg.classes
        )

    def embed(self, mel: Array) -> Array:
        """Log-mel [B, T, F] in the network range -> float32 embedding [B, D].

        Raises:
            UserError: F is not ``n_mels``.
        """
        batch, frames, bands = mel.shape
        if bands != self.cfg.n_mels:
            raise UserError(
                f"classifier: expected {self.cfg.n_mels} mel bands, got {bands}"
            )
        time = jnp.linspace(-1.0, 1.0, frames)[None, :, None]
        x = jnp.stack([mel, jnp.broadcast_to(time, mel.shape)], axis=-1)
        x = x.astype(jnp.dtype(self.cfg.dtype))
        for stage in self.stages:
            x = stage(x)
        return self.dense(x.mean(axis=1).reshape(batch, -1)).astype(jnp.float32)

    def __call__(self, mel: Array) -> tuple[Array, ...]:
        """Log-mel [B, T, F] -> float32 logits [B, K], one array per attribute."""
        x = jax.nn.silu(self.embed(mel))
        return tuple(head(x).astype(jnp.float32) for head in self.heads)


def build_classifier(cfg: ClassifierConfig) -> Network:
    """As functions: ``apply(params, mel) -> logits``, ``method="embed"`` -> [B, D]."""
    return network_of(Classifier, cfg)
