"""PANNs' Cnn14: a convolutional network that tags sounds (Kong et al. 2020, table I).

What AudioLDM and those after it measure with: the embedding before the classes for the
Frechet distance, the logits for the Kullback-Leibler divergence and inception score.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.batch_norm import FixedBatchNorm
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.pooling import average_pool

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Cnn14Config:
    """Shape of the network; a list is taken for a tuple. The defaults are Cnn14's.

    Attributes:
        widths: channels of each block; all but the last halve time and frequency.
        n_mels: mel bands of the input.
        embedding: width of the layer before the classes.
        classes: sounds that it tells apart.
        dtype: compute type; parameters, norms, means and the classes stay float32.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    n_mels: int = 64
    embedding: int = 2048
    classes: int = 527
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths:
            raise UserError("Cnn14: expected one block or more, got none")
        if self.n_mels < self.factor:
            halvings = len(self.widths) - 1
            raise UserError(
                f"Cnn14: expected n_mels of {self.factor} or more, as they are halved "
                f"{halvings} times, got {self.n_mels}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    @property
    def factor(self) -> int:
        """How many frames become one: the fewest of an input."""
        return 2 ** (len(self.widths) - 1)


class ConvBlock(nnx.Module):
    """Twice a convolution, a batch norm and a rectifier."""

    def __init__(self, c_in: int, c_out: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv1 = conv(c_in, c_out, bias=False, dtype=dtype, rngs=rngs)
        self.norm1 = FixedBatchNorm(c_out, dtype=dtype)
        self.conv2 = conv(c_out, c_out, bias=False, dtype=dtype, rngs=rngs)
        self.norm2 = FixedBatchNorm(c_out, dtype=dtype)

    def __call__(self, x: Array, frames: Array | None) -> Array:
        """[B, T, F, c_in] -> [B, T, F, c_out]; ``frames`` [B] are each clip's own."""
        x = jax.nn.relu(self.norm1(self.conv1(_own(x, frames))))
        return jax.nn.relu(self.norm2(self.conv2(_own(x, frames))))


def _own(x: Array, frames: Array | None) -> Array:
    """Zeros, which a convolution sees beyond a clip's end, in frames beyond its own."""
    if frames is None:
        return x
    own = jnp.arange(x.shape[1])[None] < frames[:, None]
    return jnp.where(own.reshape(*own.shape, *(1,) * (x.ndim - 2)), x, 0)


class Cnn14(nnx.Module):
    """See :class:`Cnn14Config`."""

    def __init__(self, cfg: Cnn14Config, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.norm_in = FixedBatchNorm(cfg.n_mels, dtype=jnp.float32)
        self.blocks = nnx.List(
            ConvBlock(c_in, c_out, dtype=dtype, rngs=rngs)
            for c_in, c_out in zip((1, *cfg.widths), cfg.widths, strict=False)
        )
        self.embed = dense(cfg.widths[-1], cfg.embedding, dtype=jnp.float32, rngs=rngs)
        self.classify = dense(cfg.embedding, cfg.classes, dtype=jnp.float32, rngs=rngs)

    def __call__(self, mel: Array, frames: Array | None = None) -> tuple[Array, Array]:
        """Log-mels to an embedding and the logits of the classes.

        Args:
            mel: [B, T, n_mels], as `audio.panns_mel` makes them; T at least ``factor``.
            frames: int [B], how many of each clip's frames count, at least ``factor``:
                the result is that of a clip without the others. All where None.

        Returns:
            float32 [B, embedding], at least 0, and [B, classes]. A logit's sigmoid is
            how sure it is of a sound; any number of them may sound together.

        Raises:
            UserError: the mels are not that.
        """
        cfg = self.cfg
        if mel.ndim != 3 or mel.shape[2] != cfg.n_mels or mel.shape[1] < cfg.factor:
            raise UserError(
                f"Cnn14: expected mels [B, T, {cfg.n_mels}] of {cfg.factor} frames or "
                f"more, got {list(mel.shape)}; pad shorter sounds with zeros"
            )
        x = self.norm_in(mel)[..., None].astype(jnp.dtype(cfg.dtype))
        for block in self.blocks[:-1]:
            x = average_pool(block(x, frames))
            frames = None if frames is None else frames // 2
        x = self.blocks[-1](x, frames).astype(jnp.float32).mean(axis=2)
        x = _own(x, frames)  # at least 0, so that zeros are no maximum
        count = x.shape[1] if frames is None else frames[:, None].astype(x.dtype)
        x = x.max(axis=1) + x.sum(axis=1) / count  # over time
        embedding = jax.nn.relu(self.embed(x))
        return embedding, self.classify(embedding)


def build_cnn14(cfg: Cnn14Config) -> Network:
    """As functions: ``apply(params, mel, frames=None) -> (embedding, logits)``."""
    return network_of(Cnn14, cfg)
