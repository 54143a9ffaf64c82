"""Mel spectrograms as they are, cut into patches: for diffusion without a VAE."""

from dataclasses import dataclass

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import LEAST_LOG_VARIANCE, Moments
from diffusion_audio.nn.functional import Network
from diffusion_audio.nn.layers import from_patches, to_patches


@dataclass(frozen=True)
class PatchesConfig:
    """How images are cut.

    Attributes:
        size: edge of a patch; 1 leaves an image as it is.
    """

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(
                f"config.autoencoder.size must be 1 or more, not {self.size}"
            )

    @property
    def factor(self) -> int:
        """How many times smaller the grid is, along both axes."""
        return self.size

    @property
    def latent(self) -> int:
        """Channels of the grid, for images of one channel."""
        return self.size**2


def build_patches(cfg: PatchesConfig) -> Network:
    """In the place of a VAE: ``encode`` gives moments, ``decode`` an image.

    The moments are parameters of a Gaussian without width; there is nothing to train.
    """

    def init(key: Key) -> Params:
        del key
        return {}

    def apply(params: Params, x: Array, *, method: str) -> Moments | Array:
        del params
        x = x.astype(jnp.float32)
        if method == "decode":
            return from_patches(x, cfg.size)
        mean = to_patches(x, cfg.size)
        return Moments(mean, jnp.full_like(mean, LEAST_LOG_VARIANCE))

    return Network(init, apply)
