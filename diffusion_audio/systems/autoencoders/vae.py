"""The KL autoencoder."""

from diffusion_audio.models.vae import VAEConfig as Config
from diffusion_audio.models.vae import build_vae
from diffusion_audio.systems.autoencoders import Autoencoder


def build(cfg: Config) -> Autoencoder:
    """The autoencoder of a config."""
    return Autoencoder(build_vae(cfg), cfg.latent, (cfg.factor, cfg.factor))
