"""Diffusers' config.json: the published ones read, ours written, the rest refused."""

import math

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.unet_config import unet_config, unet_json
from diffusion_audio.pretrained.vae_config import (
    scaling_factor,
    vae_config,
    vae_json,
)

WIDTHS = (128, 256, 384, 640)
PLAIN_FIRST = {
    "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 3,
    "up_block_types": ["CrossAttnUpBlock2D"] * 3 + ["UpBlock2D"],
}
# As published, without what says nothing of the network.
AUFFUSION = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "class_embed_type": None,
    "cross_attention_dim": 768,
    "decay": 0.9999,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "optimization_step": 100000,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
AUDIOLDM = {
    "_class_name": "UNet2DConditionModel",
    "attention_head_dim": 8,
    "block_out_channels": list(WIDTHS),
    "class_embed_type": "simple_projection",
    "class_embeddings_concat": True,
    "cross_attention_dim": list(WIDTHS),
    "in_channels": 8,
    "out_channels": 8,
    "projection_class_embeddings_input_dim": 512,
    **PLAIN_FIRST,
}
AUDIOLDM2 = {
    "_class_name": "AudioLDM2UNet2DConditionModel",
    "attention_head_dim": 8,
    "block_out_channels": list(WIDTHS),
    "cross_attention_dim": [[None, 768, 1024, None]] * 4,
    "in_channels": 8,
    "num_attention_heads": None,
    "out_channels": 8,
    "transformer_layers_per_block": 2,
    **PLAIN_FIRST,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "in_channels": 1,
    "latent_channels": 8,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 1,
    "sample_size": 1024,
    "scaling_factor": 0.4110932946205139,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}


def test_published_unets():
    shape = {"attention": (True, True, True, False), "heads": (8, 8, 8, 8)}
    assert unet_config(AUFFUSION, "it") == UNetConfig(
        in_channels=4,
        out_channels=4,
        channels=(320, 640, 1280, 1280),
        contexts=(768,),
        **shape,
    )
    ours = {"in_channels": 8, "out_channels": 8, "channels": WIDTHS}
    ours |= {"attention": (False, True, True, True), "heads": (8, 8, 8, 8)}
    assert unet_config(AUDIOLDM, "it") == UNetConfig(**ours, vector_dim=512)
    assert unet_config(AUDIOLDM2, "it") == UNetConfig(
        **ours, contexts=(None, 768, 1024, None), depth=2
    )


def test_published_autoencoder():
    assert vae_config(VAE, "it") == VAEConfig()
    assert scaling_factor(VAE, "it") == 0.4110932946205139
    assert scaling_factor({}, "it") == 0.18215


@pytest.mark.parametrize(
    "options",
    [
        {"contexts": (6,), "projection": "linear", "blocks": 1},
        {"vector_dim": 10, "scale_shift": True},
        {"contexts": (None, 6, 5), "depth": 2},
        {"contexts": (None, None), "vector_dim": 10},
        {"contexts": (None, 6)},
    ],
)
def test_what_is_written_reads_back(options):
    cfg = UNetConfig(
        in_channels=2,
        out_channels=3,
        channels=(4, 8),
        attention=(False, True),
        heads=(1, 2),
        groups=2,
        **options,
    )
    assert unet_config(unet_json(cfg), "it") == cfg


def test_a_written_autoencoder_reads_back():
    cfg = VAEConfig(in_channels=3, channels=(4, 8), latent=2, groups=2)
    config = vae_json(cfg, 0.5)
    assert vae_config(config, "it") == cfg
    assert scaling_factor(config, "it") == 0.5
    with pytest.raises(UserError, match="no autoencoder of patch 2"):
        vae_json(VAEConfig(patch=2), 1.0)


@pytest.mark.parametrize("contexts", [(5, 6), (None, None, 6, 5), (None,) * 5, ()])
def test_contexts_that_diffusers_would_hand_out_otherwise_are_not_written(contexts):
    cfg = UNetConfig(2, 2, (4,), (True,), (1,), contexts=contexts, groups=2)
    with pytest.raises(UserError, match="diffusers has no UNet of contexts"):
        unet_json(cfg)


@pytest.mark.parametrize(
    ("config", "change", "line"),
    [
        (AUDIOLDM, {"_class_name": "UNet2DModel"}, "it is of 'UNet2DModel': expected"),
        (AUDIOLDM, {"act_fn": "gelu"}, "act_fn is 'gelu'.*expected 'silu'"),
        (AUDIOLDM, {"flip_sin_to_cos": False}, "flip_sin_to_cos is False"),
        (AUDIOLDM, {"encoder_hid_dim": 4}, "encoder_hid_dim is 4.*expected none"),
        (AUDIOLDM, {"only_cross_attention": True}, "only_cross_attention is True"),
        (AUDIOLDM, {"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
        (AUDIOLDM, {"class_embeddings_concat": False}, "null, or simple_projection"),
        (AUDIOLDM, {"cross_attention_dim": [1, 2, 3, 4]}, "same at each level"),
        (AUDIOLDM, {"cross_attention_dim": None}, "expected whole numbers"),
        (AUDIOLDM, {"block_out_channels": "4"}, "expected a list of whole numbers"),
        (AUDIOLDM, {"layers_per_block": [1, 2, 2, 2]}, "same number at each level"),
        (AUDIOLDM, {"layers_per_block": 10**6}, "expected at most 64"),
        (AUDIOLDM, {"attention_head_dim": [8, 8]}, "a whole number or 4 of them"),
        (AUDIOLDM, {"in_channels": True}, "in_channels is True"),
        (AUDIOLDM, {"down_block_types": ["AttnDownBlock2D"] * 4}, "expected a list of"),
        (AUDIOLDM, {"up_block_types": ["UpBlock2D"] * 4}, "down_block_types backwards"),
        (AUDIOLDM, {"up_block_types": ["UpBlock2D"]}, "one for each of 4 levels"),
        (AUDIOLDM, {"resnet_time_scale_shift": "ada"}, "default or scale_shift"),
        (AUDIOLDM, {"use_linear_projection": 1}, "expected true or false"),
        (AUDIOLDM2, {"cross_attention_dim": [[768, 1024]] * 4}, "among the first two"),
    ],
)
def test_what_our_unet_has_not_is_refused(config, change, line):
    with pytest.raises(UserError, match=line):
        unet_config(config | change, "it")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"_class_name": "VQModel"}, "it is of 'VQModel'"),
        ({"use_quant_conv": False}, "use_quant_conv is False"),
        ({"shift_factor": 0.1}, "shift_factor is 0.1.*expected none"),
        ({"out_channels": 3}, "out_channels is 3.*expected 1"),
        ({"up_block_types": ["AttnUpDecoderBlock2D"] * 3}, "expected UpDecoderBlock2D"),
        ({"layers_per_block": 65}, "from 1 to 64"),
    ],
)
def test_what_our_autoencoder_has_not_is_refused(change, line):
    with pytest.raises(UserError, match=line):
        vae_config(VAE | change, "it")


@pytest.mark.parametrize("value", [0, True, "1", None, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(value):
    with pytest.raises(UserError, match="expected a number above 0"):
        scaling_factor({"scaling_factor": value}, "it")
