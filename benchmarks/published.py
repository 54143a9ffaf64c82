"""The networks of AudioLDM, AudioLDM 2 and Auffusion at published size, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.adapter import AUFFUSION
from diffusion_audio.pretrained.clip_text import VIT_L14
from diffusion_audio.pretrained.gpt2 import GPT2_BASE
from diffusion_audio.pretrained.htsat import BASE
from diffusion_audio.pretrained.projection import AUDIOLDM2
from diffusion_audio.pretrained.roberta import CLAP_TEXT
from diffusion_audio.pretrained.t5 import FLAN_T5_LARGE
from diffusion_audio.systems.conditioners import language_of_audio


class Case(NamedTuple):
    """A network as it is timed and compared.

    Attributes:
        kind: of `benchmarks.components.KINDS`.
        cfg: our config.
        sizes: of its inputs.
    """

    kind: str
    cfg: Any
    sizes: Mapping[str, Any]


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

# A step of guidance is a batch of two; a clip is of 10.24 s.
LATENT = {"batch": 2, "height": 256, "width": 16, "masked": False}
PICTURE = {"batch": 2, "height": 32, "width": 128, "masked": False}
CLIP = {"batch": 1, "frames": 1024}
CASES = {
    "unet_audioldm_m": Case(
        "unet",
        _unet((192, 384, 576, 960), vector_dim=512),
        LATENT | {"tokens": ()},
    ),
    "unet_audioldm2": Case(
        "unet",
        _unet((128, 256, 384, 640), contexts=(None, 768, 1024)),
        LATENT | {"tokens": (8, 128)},
    ),
    "unet_audioldm2_large": Case(
        "unet",
        _unet((128, 256, 384, 640), contexts=(None, 768, 1024, None), depth=2),
        LATENT | {"tokens": (8, 128)},
    ),
    "unet_auffusion": Case("unet", STABLE_DIFFUSION, PICTURE | {"tokens": (77,)}),
    "vae_encode_audioldm": Case("vae_encode", VAE_16K, LATENT | {"batch": 1}),
    "vae_decode_audioldm": Case("vae_decode", VAE_16K, LATENT | {"batch": 1}),
    "vae_encode_auffusion": Case("vae_encode", VAE_SD, PICTURE | {"batch": 1}),
    "vae_decode_auffusion": Case("vae_decode", VAE_SD, PICTURE | {"batch": 1}),
    "vocoder_audioldm": Case("vocoder", HIFIGAN_16K, CLIP),
    "vocoder_auffusion": Case("vocoder", HIFIGAN_AUFFUSION, CLIP),
    "clap_text": Case("clap_text", CLAP_TEXT, {"batch": 2, "tokens": 512}),
    "clap_audio": Case("clap_audio", BASE, {"batch": 1, "frames": 1001}),
    "t5_large": Case("t5", FLAN_T5_LARGE, {"batch": 2, "tokens": 128}),
    "clip_text": Case("clip_text", VIT_L14, {"batch": 2, "tokens": 77}),
    "projection": Case("projection", AUDIOLDM2, {"batch": 2, "tokens": 128}),
    "gpt2": Case("gpt2", GPT2_BASE, {"batch": 2, "tokens": 132}),
    "gpt2_cached": Case("gpt2_cached", GPT2_BASE, {"batch": 2, "tokens": 132}),
    "adapter": Case("adapter", AUFFUSION, {"batch": 2, "tokens": 77}),
    "language_of_audio": Case(
        "language_of_audio", LANGUAGE, {"batch": 2, "clap": 512, "t5": 128}
    ),
}
