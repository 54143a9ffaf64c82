"""The UNet of latent diffusion as a denoiser."""

from diffusion_audio.models.unet import UNetConfig as Config
from diffusion_audio.models.unet import build_unet
from diffusion_audio.systems.denoisers import Denoiser


def build(cfg: Config) -> Denoiser:
    """The denoiser of a config."""
    return Denoiser(build_unet(cfg), cfg.in_channels, cfg.out_channels)
