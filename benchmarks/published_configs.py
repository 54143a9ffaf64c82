"""Configs of the networks of AudioLDM, AudioLDM 2 and Auffusion at published size."""

import dataclasses
from typing import Any

from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.gpt2 import GPT2_BASE
from diffusion_audio.pretrained.projection import AUDIOLDM2
from diffusion_audio.pretrained.roberta import CLAP_TEXT
from diffusion_audio.pretrained.t5 import FLAN_T5_LARGE
from diffusion_audio.systems.conditioners import language_of_audio


def _unet(channels: tuple[int, ...], **options: Any) -> UNetConfig:
    """AudioLDM's levels: attention at all but the first, eight heads (diffusers')."""
    return UNetConfig(
        in_channels=8,
        out_channels=8,
        channels=channels,
        attention=(False, True, True, True),
        heads=(8,) * 4,
        **options,
    )


AUDIOLDM_M_UNET = _unet((192, 384, 576, 960), vector_dim=512)
AUDIOLDM2_UNET = _unet((128, 256, 384, 640), contexts=(None, 768, 1024))
AUDIOLDM2_LARGE_UNET = _unet(
    (128, 256, 384, 640), contexts=(None, 768, 1024, None), depth=2
)
STABLE_DIFFUSION = UNetConfig(
    in_channels=4,
    out_channels=4,
    channels=(320, 640, 1280, 1280),
    attention=(True, True, True, False),
    heads=(8,) * 4,
    contexts=(768,),
)
VAE_16K = VAEConfig(in_channels=1, channels=(128, 256, 512), latent=8)
VAE_SD = VAEConfig(in_channels=3, channels=(128, 256, 512, 512), latent=4)
HIFIGAN_16K = HiFiGANConfig(
    n_mels=64,
    channels=1024,
    rates=(5, 4, 2, 2, 2),
    kernels=(16, 16, 8, 4, 4),
    weight_norm=False,
)
HIFIGAN_AUFFUSION = HiFiGANConfig(
    n_mels=256,
    channels=512,
    rates=(5, 4, 4, 2),
    kernels=(11, 8, 8, 4),
    weight_norm=False,
)
# AudioLDM 2's as diffusers runs it, prompts beside each other.
LANGUAGE = language_of_audio.Config(
    clap=dataclasses.asdict(CLAP_TEXT),
    t5=dataclasses.asdict(FLAN_T5_LARGE),
    projection=dataclasses.asdict(AUDIOLDM2),
    gpt2=dataclasses.asdict(GPT2_BASE),
    padding="batch",
    null="generated",
)
