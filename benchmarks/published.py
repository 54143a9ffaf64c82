"""The networks of AudioLDM, AudioLDM 2 and Auffusion at published size, by name.

And whole generations with them, from tokens to waveforms; and the networks that metrics
are measured with.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.published_configs import (
    AUDIOLDM2_LARGE_UNET,
    AUDIOLDM2_UNET,
    AUDIOLDM_M_UNET,
    HIFIGAN_16K,
    HIFIGAN_AUFFUSION,
    LANGUAGE,
    STABLE_DIFFUSION,
    VAE_16K,
    VAE_SD,
)
from benchmarks.whole_systems import WholeConfig, audioldm2, audioldm_m, auffusion
from diffusion_audio.models.cnn14 import Cnn14Config
from diffusion_audio.models.passt import PasstConfig
from diffusion_audio.models.vggish import VGGishConfig
from diffusion_audio.pretrained.adapter import AUFFUSION
from diffusion_audio.pretrained.clip_text import VIT_L14
from diffusion_audio.pretrained.gpt2 import GPT2_BASE
from diffusion_audio.pretrained.htsat import BASE
from diffusion_audio.pretrained.metric_catalog import MEL_16K
from diffusion_audio.pretrained.projection import AUDIOLDM2
from diffusion_audio.pretrained.roberta import CLAP_TEXT
from diffusion_audio.pretrained.t5 import FLAN_T5_LARGE
from diffusion_audio.systems.audio_encoders import cnn14, passt


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


# A step of guidance is a batch of two; a clip is of 10.24 s.
LATENT = {"batch": 2, "height": 256, "width": 16, "masked": False}
IMAGE = {"batch": 2, "height": 32, "width": 128, "masked": False}
CLIP = {"batch": 1, "frames": 1024}
CASES = {
    "unet_audioldm_m": Case("unet", AUDIOLDM_M_UNET, LATENT | {"tokens": ()}),
    "unet_audioldm2": Case("unet", AUDIOLDM2_UNET, LATENT | {"tokens": (8, 128)}),
    "unet_audioldm2_large": Case(
        "unet", AUDIOLDM2_LARGE_UNET, LATENT | {"tokens": (8, 128)}
    ),
    "unet_auffusion": Case("unet", STABLE_DIFFUSION, IMAGE | {"tokens": (77,)}),
    "vae_encode_audioldm": Case("vae_encode", VAE_16K, LATENT | {"batch": 1}),
    "vae_decode_audioldm": Case("vae_decode", VAE_16K, LATENT | {"batch": 1}),
    "vae_encode_auffusion": Case("vae_encode", VAE_SD, IMAGE | {"batch": 1}),
    "vae_decode_auffusion": Case("vae_decode", VAE_SD, IMAGE | {"batch": 1}),
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
    "cnn14": Case("cnn14", Cnn14Config(), {"batch": 1, "frames": 1025}),
    "cnn14_16k_wave": Case(
        "cnn14_wave", cnn14.Config(mel=MEL_16K), {"batch": 1, "samples": 163_840}
    ),
    "cnn14_32k_wave": Case(
        "cnn14_wave", cnn14.Config(), {"batch": 1, "samples": 327_680}
    ),
    "vggish": Case("vggish", VGGishConfig(), {"batch": 10, "frames": 96}),
    "passt_s": Case("passt", PasstConfig(), {"batch": 1, "frames": 1000}),
    "passt_s_wave": Case(
        "passt_wave", passt.Config(), {"batch": 1, "samples": 320_000}
    ),
    "whole_audioldm_m": Case(
        "whole", WholeConfig(audioldm_m(), 0.9138), {"tokens": 512}
    ),
    "whole_audioldm2": Case(
        "whole", WholeConfig(audioldm2(), 0.4111), {"clap": 512, "t5": 128}
    ),
    "whole_auffusion": Case(
        "whole", WholeConfig(auffusion(adapter=False), 0.18215), {"tokens": 77}
    ),
}
