"""The KL autoencoder of pictures, handed a mel as one: Auffusion's (Xue et al. 2024).

A mel lies as pictures do, high bands at the top and time to the right, in three equal
channels from -1 to 1; of what is decoded the first channel counts, within these bounds.
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
            picture = jnp.flip(x.swapaxes(1, 2), axis=1)  # [B, T, F, 1] -> [B, F, T, 1]
            picture = jnp.repeat(picture, cfg.in_channels, axis=-1)
            return vae.apply(params, picture, method="encode")
        picture = vae.apply(params, x, method=method)[..., :1]
        return jnp.flip(jnp.clip(picture, -1, 1), axis=1).swapaxes(1, 2)

    factors = (cfg.factor, cfg.factor)
    return Autoencoder(Network(vae.init, apply), cfg.latent, factors, time_axis=2)
