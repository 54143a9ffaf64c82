"""The sizes that the catalog has, counted in PyTorch's own classes without memory."""

import pytest

from diffusion_audio.pretrained import published_parts as parts
from diffusion_audio.pretrained.unet_config import unet_json
from diffusion_audio.pretrained.vae_config import vae_json

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
diffusers = pytest.importorskip("diffusers")

UNETS = [
    *("AUDIOLDM_S_UNET", "AUDIOLDM_M_UNET", "AUDIOLDM_L_UNET", "AUDIOLDM2_UNET"),
    *("AUDIOLDM2_LARGE_UNET", "AUDIOLDM2_SPEECH_UNET", "AUFFUSION_UNET"),
    *("ORIGINAL_T5_UNET", "ORIGINAL_48K_UNET"),
]


def counted(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


@pytest.mark.parametrize("name", UNETS)
def test_unets(name):
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2UNet2DConditionModel,
    )

    part = getattr(parts, name)
    config = unet_json(part.config)
    cls = diffusers.UNet2DConditionModel
    if len(part.config.contexts) > 1:
        cls = AudioLDM2UNet2DConditionModel
    assert counted(lambda: cls.from_config(config)) == part.parameters


@pytest.mark.parametrize("name", ["VAE_16K", "VAE_48K", "AUFFUSION_VAE"])
def test_autoencoders(name):
    part = getattr(parts, name)
    config = vae_json(part.config, 1.0)
    cls = diffusers.AutoencoderKL
    assert counted(lambda: cls.from_config(config)) == part.parameters


@pytest.mark.parametrize("name", ["VOCODER_16K", "VOCODER_48K", "AUFFUSION_VOCODER"])
def test_vocoders(name):
    part, cfg = getattr(parts, name), getattr(parts, name).config
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=cfg.n_mels,
        upsample_initial_channel=cfg.channels,
        upsample_rates=list(cfg.rates),
        upsample_kernel_sizes=list(cfg.kernels),
        resblock_kernel_sizes=list(cfg.resblock_kernels),
        resblock_dilation_sizes=[list(d) for d in cfg.dilations],
    )
    assert counted(lambda: transformers.SpeechT5HifiGan(config)) == part.parameters


def test_a_whole_clap_has_two_scales_more():
    config = transformers.ClapConfig(
        audio_config={
            "patch_embeds_hidden_size": 128,
            "hidden_size": 1024,
            "depths": [2, 2, 12, 2],
            "num_attention_heads": [4, 8, 16, 32],
        }
    )
    towers = parts.CLAP_TEXT.parameters + parts.CLAP_AUDIO.parameters
    assert counted(lambda: transformers.ClapModel(config)) == towers + 2


def test_the_encoder_of_phonemes():
    from transformers.models.vits.modeling_vits import VitsTextEncoder

    config = transformers.VitsConfig(
        vocab_size=183,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=2,
        ffn_dim=768,
    )
    unused = 192 * 384 + 384  # what makes a prior of its states
    counts = counted(lambda: VitsTextEncoder(config)), parts.PHONEMES.parameters
    assert counts[0] == counts[1] + unused


def test_the_projections_of_speech():
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2ProjectionModel,
    )

    def make():
        return AudioLDM2ProjectionModel(
            *(512, 192, 768), use_learned_position_embedding=True, max_seq_length=310
        )

    assert counted(make) == parts.SPEECH_PROJECTION.parameters
