"""VGGish: embeddings of 0.96 s of sound, which the first FAD is measured with.

Hershey et al. 2017, as Google trained it on YouTube-8M: a VGG of 11 layers without its
last convolutions. AudioSet's own embeddings went through a principal component
analysis and 8 bits after that.
"""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.pooling import max_pool

DTYPES = ("float32", "bfloat16")
POSTPROCESSINGS = ("none", "pca", "pca_8bit")
CLIP = 2.0  # what is quantised lies between -2 and 2
LEVELS = 255


@dataclass(frozen=True)
class VGGishConfig:
    """Shape of the network; lists are taken for tuples. The defaults are VGGish's.

    Attributes:
        stages: channels of the convolutions of each stage, which ends in a pooling.
        frames: of an example.
        n_mels: mel bands of an example.
        hidden: widths of the dense layers before the embedding.
        embedding: width of an embedding.
        activation: whether a rectifier follows the last layer. The FAD of papers is
            without; torchvggish, unless told, with.
        postprocessing: ``"none"``; ``"pca"``, components that are white; or
            ``"pca_8bit"``, those cut to +-2 and rounded to whole numbers up to 255, as
            AudioSet's are.
        dtype: compute type; parameters and what follows the network stay float32.
    """

    stages: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512))
    frames: int = 96
    n_mels: int = 64
    hidden: tuple[int, ...] = (4096, 4096)
    embedding: int = 128
    activation: bool = False
    postprocessing: str = "none"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(map(tuple, self.stages)))
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.stages or not all(self.stages):
            raise UserError(
                "VGGish: expected stages of one convolution or more each, got "
                f"{self.stages}"
            )
        if min(self.frames, self.n_mels) < 2 ** len(self.stages):
            raise UserError(
                f"VGGish: expected {2 ** len(self.stages)} frames and n_mels or more, "
                f"which each stage halves, got {self.frames} and {self.n_mels}"
            )
        if self.postprocessing not in POSTPROCESSINGS:
            raise unknown(
                "postprocessing of VGGish", self.postprocessing, POSTPROCESSINGS
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


class PCA(nnx.Module):
    """Principal components of embeddings, scaled to be white."""

    def __init__(self, width: int):
        self.matrix = nnx.Param(jnp.zeros((width, width)), std=width**-0.5)
        self.mean = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Array) -> Array:
        """[..., D] -> [..., D]."""
        mean = self.mean[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return jnp.matmul(x - mean, self.matrix[...], precision="highest")


class VGGish(nnx.Module):
    """See :class:`VGGishConfig`."""

    def __init__(self, cfg: VGGishConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        channels = (1, *(width for stage in cfg.stages for width in stage))
        self.convs = nnx.List(
            conv(c_in, c_out, dtype=dtype, rngs=rngs)
            for c_in, c_out in pairwise(channels)
        )
        rows, columns = (x >> len(cfg.stages) for x in (cfg.frames, cfg.n_mels))
        widths = (rows * columns * channels[-1], *cfg.hidden, cfg.embedding)
        self.denses = nnx.List(
            dense(c_in, c_out, dtype=dtype, rngs=rngs)
            for c_in, c_out in pairwise(widths)
        )
        self.pca = None if cfg.postprocessing == "none" else PCA(cfg.embedding)

    def __call__(self, mel: Array) -> Array:
        """Log-mels of examples to embeddings.

        Args:
            mel: [B, frames, n_mels], as `audio.vggish_mel` makes them.

        Returns:
            float32 [B, embedding].

        Raises:
            UserError: the mels are not that.
        """
        cfg = self.cfg
        if mel.ndim != 3 or mel.shape[1:] != (cfg.frames, cfg.n_mels):
            raise UserError(
                f"VGGish: expected mels [B, {cfg.frames}, {cfg.n_mels}], got "
                f"{list(mel.shape)}"
            )
        x = mel[..., None].astype(jnp.dtype(cfg.dtype))
        layers = iter(self.convs)
        for stage in cfg.stages:
            for _ in stage:
                x = jax.nn.relu(next(layers)(x))
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        for layer in self.denses[:-1]:
            x = jax.nn.relu(layer(x))
        x = self.denses[-1](x).astype(jnp.float32)
        if cfg.activation:
            x = jax.nn.relu(x)
        if self.pca is not None:
            x = self.pca(x)
        if cfg.postprocessing == "pca_8bit":
            x = (jnp.clip(x, -CLIP, CLIP) + CLIP) * (LEVELS / (2 * CLIP))
            x = jnp.round(x)
        return x


def build_vggish(cfg: VGGishConfig) -> Network:
    """As functions: ``apply(params, mel) -> embedding``."""
    return network_of(VGGish, cfg)
