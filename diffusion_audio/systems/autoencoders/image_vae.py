"""An image autoencoder given mel spectrograms as images: Auffusion's (Xue et al. 2024).

High bands lie at the top and time runs to the right, in three equal channels from -1
to 1; of what is decoded the first channel counts, within these bounds.
"""

from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Params
from diffusion_audio.models.vae import VAEConfig as Config
from diffusion_audio.models.vae import build_vae
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.autoencoders import Autoencoder


def build(cfg: Config) -> Autoencoder:
    """The autoencoder of a config."""
    vae = build_vae(cfg)

    def apply(params: Params, x: Array, *, method: str) -> Any:
        if method == "encode":
            image = jnp.flip(x.swapaxes(1, 2), axis=1)  # [B, T, F, 1] -> [B, F, T, 1]
            image = jnp.repeat(image, cfg.in_channels, axis=-1)
            return vae.apply(params, image, method="encode")
        image = vae.apply(params, x, method=method)[..., :1]
        return jnp.flip(jnp.clip(image, -1, 1), axis=1).swapaxes(1, 2)

    factors = (cfg.factor, cfg.factor)
    return Autoencoder(Network(vae.init, apply), cfg.latent, factors, time_axis=2)
