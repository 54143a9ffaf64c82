"""Configs of whole systems at published size: AudioLDM-M, AudioLDM 2 and Auffusion.

As diffusers runs them, whose scheduler and heads they have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.published_configs import (
    AUDIOLDM2_UNET,
    AUDIOLDM_M_UNET,
    HIFIGAN_16K,
    HIFIGAN_AUFFUSION,
    LANGUAGE,
    STABLE_DIFFUSION,
    VAE_16K,
    VAE_SD,
)
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.adapter import AUFFUSION
from diffusion_audio.pretrained.clip_text import VIT_L14
from diffusion_audio.pretrained.published_system import audio_spec, group, plain
from diffusion_audio.pretrained.roberta import CLAP_TEXT

RATE, SECONDS = 16_000, 10.24


@dataclass(frozen=True)
class WholeConfig:
    """A system to generate with.

    Attributes:
        config: of `diffusion_audio.systems.system.build`, with ``sampling``.
        latent_scale: of its autoencoder's latents.
    """

    config: Mapping[str, Any]
    latent_scale: float


def audioldm_m() -> dict[str, Any]:
    """AudioLDM-M's: CLAP's vector."""
    return _of_mels(
        "audioldm",
        AUDIOLDM_M_UNET,
        {"clap": {"name": "clap", "text": plain(CLAP_TEXT)}},
    )


def audioldm2() -> dict[str, Any]:
    """AudioLDM 2's: a language of audio, and T5's tokens."""
    label = "language_of_audio"
    return _of_mels("audioldm2", AUDIOLDM2_UNET, {label: group(label, LANGUAGE)})


def auffusion(*, adapter: bool = True) -> dict[str, Any]:
    """Auffusion's: CLIP's tokens, mels as images."""
    clip = {"name": "clip", "text": plain(VIT_L14)}
    if adapter:
        clip["adapter"] = plain(AUFFUSION)
    parts = ("image_vae", STABLE_DIFFUSION, VAE_SD, HIFIGAN_AUFFUSION)
    config = _system("auffusion", "auffusion_16k", *parts, {"clip": clip})
    config["schedule"] |= {"beta_start": 0.00085, "beta_end": 0.012}
    config["sampling"] |= {"solver": {"name": "pndm"}, "guidance": 7.5}
    return config


def narrow(config: dict[str, Any]) -> dict[str, Any]:
    """With a denoiser of an eighth of the widths, for what would take hours."""
    widths = tuple(width // 8 for width in config["denoiser"]["channels"])
    changed = config["denoiser"] | {"channels": widths, "groups": 8}
    return config | {"denoiser": changed}


def _of_mels(
    name: str, unet: UNetConfig, conditioners: Mapping[str, Any]
) -> dict[str, Any]:
    parts = ("vae", unet, VAE_16K, HIFIGAN_16K)
    config = _system(name, "audioldm_16k", *parts, conditioners)
    config["schedule"] |= {"beta_start": 0.0015, "beta_end": 0.0195}
    return config


def _system(
    name: str,
    spec: str,
    autoencoder: str,
    unet: UNetConfig,
    vae: VAEConfig,
    vocoder: HiFiGANConfig,
    conditioners: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "task": "diffusion",
        "system": name,
        "audio": audio_spec(spec, vocoder, RATE).to_dict(),
        "data": {"seconds": SECONDS},
        "components": {
            "autoencoder": {"autoencoder": group(autoencoder, vae)},
            "vocoder": {"vocoder": group("hifigan", vocoder)},
        },
        "denoiser": group("unet", unet),
        "conditioners": dict(conditioners),
        "schedule": {"name": "scaled_linear", "steps": 1000},
        "loss": {"prediction": "epsilon"},
        "sampling": {
            "solver": {"name": "ddim", "eta": 0.0},
            "spacing": "leading",
            "steps_offset": 1,
            "final": "first",
            "steps": 5,
            "guidance": 3.0,
        },
    }
