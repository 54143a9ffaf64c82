"""Patches of the mel spectrogram itself, in the place of a trained autoencoder."""

from diffusion_audio.models.patches import PatchesConfig as Config
from diffusion_audio.models.patches import build_patches
from diffusion_audio.systems.autoencoders import Autoencoder


def build(cfg: Config) -> Autoencoder:
    """The patches of a config."""
    factors = (cfg.factor, cfg.factor)
    return Autoencoder(build_patches(cfg), cfg.latent, factors, trained=False)
