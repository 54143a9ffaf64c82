"""The parts of the published models: what each is, at its size.

Counts are those of trained parameters: batch norm's statistics are none, weight norm is
removed, and CLAP's two scales of its training, which nothing here uses, are left out.
"""

from dataclasses import dataclass
from typing import Any

from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.projection import ProjectionConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained import (
    adapter,
    clip_text,
    gpt2,
    htsat,
    phonemes,
    projection,
    roberta,
    t5,
)


@dataclass(frozen=True)
class Part:
    """A network of a published model.

    Attributes:
        role: what it is for.
        network: which one it is.
        parameters: how many it has.
        config: our settings of it.
    """

    role: str
    network: str
    parameters: int
    config: Any


def _unet(
    parameters: int,
    widths: tuple[int, ...],
    *contexts: int | None,
    heads: tuple[int, ...] = (8, 8, 8, 8),
    latent: int = 8,
    depth: int = 1,
    vector: int | None = None,
) -> Part:
    """AudioLDM's and AudioLDM 2's: four levels, attention at all but the first."""
    config = UNetConfig(
        in_channels=latent,
        out_channels=latent,
        channels=widths,
        attention=(False, True, True, True),
        heads=heads,
        contexts=(None, *contexts),
        depth=depth,
        vector_dim=vector,
    )
    return Part("denoiser", "UNet", parameters, config)


_S, _M, _L = (128, 256, 384, 640), (192, 384, 576, 960), (256, 512, 768, 1280)
# Heads of 32 channels, of the original code; diffusers' configs say 8 at each level.
_ORIGINAL = (4, 8, 12, 20)

AUDIOLDM_S_UNET = _unet(185_036_552, _S, vector=512)
AUDIOLDM_M_UNET = _unet(415_954_568, _M, vector=512)
AUDIOLDM_L_UNET = _unet(739_139_080, _L, vector=512)
AUDIOLDM2_UNET = _unet(346_943_496, _S, 768, 1024)
AUDIOLDM2_LARGE_UNET = _unet(718_012_296, _S, 768, 1024, None, depth=2)
AUDIOLDM2_SPEECH_UNET = _unet(261_926_536, _S, 768)
ORIGINAL_UNET = _unet(346_943_496, _S, 768, 1024, heads=_ORIGINAL)
ORIGINAL_LARGE_UNET = _unet(718_012_296, _S, 768, 1024, None, depth=2, heads=_ORIGINAL)
ORIGINAL_SPEECH_UNET = _unet(261_926_536, _S, 768, heads=_ORIGINAL)
ORIGINAL_T5_UNET = _unet(265_531_016, _S, 1024, heads=_ORIGINAL)
ORIGINAL_48K_UNET = _unet(262_699_152, _S, None, heads=_ORIGINAL, latent=16, vector=512)
AUFFUSION_UNET = Part(
    "denoiser",
    "UNet of Stable Diffusion 1.5",
    859_520_964,
    UNetConfig(
        in_channels=4,
        out_channels=4,
        channels=(320, 640, 1280, 1280),
        attention=(True, True, True, False),
        heads=(8, 8, 8, 8),
        contexts=(768,),
    ),
)

VAE_16K = Part("autoencoder", "VAE", 55_376_873, VAEConfig())
VAE_48K = Part(
    "autoencoder",
    "VAE",
    223_535_569,
    VAEConfig(channels=(128, 256, 512, 1024), latent=16),
)
AUFFUSION_VAE = Part(
    "autoencoder",
    "VAE of Stable Diffusion",
    83_653_863,
    VAEConfig(in_channels=3, channels=(128, 256, 512, 512), latent=4),
)

VOCODER_16K = Part(
    "vocoder",
    "HiFi-GAN",
    55_264_897,
    HiFiGANConfig(
        n_mels=64,
        channels=1024,
        rates=(5, 4, 2, 2, 2),
        kernels=(16, 16, 8, 4, 4),
        weight_norm=False,
    ),
)
VOCODER_48K = Part(
    "vocoder",
    "HiFi-GAN",
    190_281_889,
    HiFiGANConfig(
        n_mels=256,
        channels=1536,
        rates=(6, 5, 4, 2, 2),
        kernels=(12, 10, 8, 4, 4),
        resblock_kernels=(3, 7, 11, 15),
        dilations=((1, 3, 5),) * 4,
        weight_norm=False,
        cut="start",
    ),
)
AUFFUSION_VOCODER = Part(
    "vocoder",
    "HiFi-GAN",
    13_672_065,
    HiFiGANConfig(
        n_mels=256, rates=(5, 4, 4, 2), kernels=(11, 8, 8, 4), weight_norm=False
    ),
)

CLAP_TEXT = Part("text", "CLAP's text tower", 125_302_016, roberta.CLAP_TEXT)
CLAP_AUDIO = Part("ranking", "CLAP's audio tower", 68_611_864, htsat.BASE)
T5 = Part("text", "Flan-T5 large's encoder", 341_231_104, t5.FLAN_T5_LARGE)
GPT2 = Part("language of audio", "GPT-2", 124_439_808, gpt2.GPT2_BASE)
PROJECTION = Part("language of audio", "projections", 1_184_256, projection.AUDIOLDM2)
PHONEMES = Part("phonemes", "VITS's text encoder", 6_253_632, phonemes.AUDIOLDM2_SPEECH)
SPEECH_PROJECTION = Part(
    "language of audio",
    "projections",
    604_800,
    ProjectionConfig(first=512, second=192, width=768, positions=310),
)
CLIP = Part("text", "CLIP ViT-L/14's text tower", 123_060_480, clip_text.VIT_L14)
ADAPTER = Part("text", "condition adapter", 592_128, adapter.AUFFUSION)
