"""Configs of published sizes from shapes alone: names and shapes, and no numbers."""

import dataclasses

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.htsat import build_htsat
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.models.t5 import build_t5
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained import (
    gpt2,
    hifigan,
    htsat,
    naming,
    original_config,
    rules,
    t5,
    unet,
    vae,
)
from diffusion_audio.pretrained.original_config import Shapes
from diffusion_audio.pretrained.roberta import CLAP_TEXT
from diffusion_audio.pretrained.roberta import table as clap_text_table

BASE = UNetConfig(
    in_channels=8,
    out_channels=8,
    channels=(128, 256, 384, 640),
    attention=(False, True, True, True),
    heads=(4, 8, 12, 20),
)


def of(**settings):
    return dataclasses.replace(BASE, **settings)


# Name -> config as in the original code, and millions of parameters.
UNETS = {
    "AudioLDM-S": (of(vector_dim=512), 185.04),
    "AudioLDM-M": (
        of(vector_dim=512, channels=(192, 384, 576, 960), heads=(6, 12, 18, 30)),
        415.95,
    ),
    "AudioLDM-L": (
        of(vector_dim=512, channels=(256, 512, 768, 1280), heads=(4, 8, 12, 20)),
        739.14,
    ),
    "AudioLDM 2": (of(contexts=(None, 768, 1024)), 346.94),
    "AudioLDM 2 large": (of(contexts=(None, 768, 1024, None), depth=2), 718.01),
    "AudioLDM 48k": (
        of(contexts=(None, None), vector_dim=512, in_channels=16, out_channels=16),
        262.7,
    ),
    "AudioLDM T5": (of(contexts=(None, 1024)), 265.5),
}
FAST = ("AudioLDM-S", "AudioLDM-L", "AudioLDM 2 large")
VAES = {
    "16k": (VAEConfig(), 55.38),
    "48k": (VAEConfig(channels=(128, 256, 512, 1024), latent=16), 223.5),
}
VOCODERS = {
    "16k": (
        HiFiGANConfig(
            n_mels=64,
            channels=1024,
            rates=(5, 4, 2, 2, 2),
            kernels=(16, 16, 8, 4, 4),
            weight_norm=False,
        ),
        55.26,
    ),
    "48k": (
        HiFiGANConfig(
            n_mels=256,
            channels=1536,
            rates=(6, 5, 4, 2, 2),
            kernels=(12, 10, 8, 4, 4),
            resblock_kernels=(3, 7, 11, 15),
            dilations=((1, 3, 5),) * 4,
            weight_norm=False,
        ),
        190.3,
    ),
}


def theirs(table, like):
    """Shapes of a model's arrays by the names of its file."""
    found = {}
    for path, (name, layout) in rules._names(table, like).items():
        leaf = like
        for key in path.split("/"):
            leaf = leaf[key]
        found[name] = layout.theirs(np.broadcast_to(np.float32(0), leaf.shape)).shape
    return Shapes(found, "a.pth")


def is_published(millions, like):
    digits = 2 if round(millions, 1) != millions else 1
    return round(count(like) / 1e6, digits) == millions


@pytest.mark.parametrize(
    "name",
    [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in UNETS],
)
def test_unets(name):
    cfg, millions = UNETS[name]
    like = abstract_params(build_unet(cfg))
    assert is_published(millions, like), count(like)
    shapes = theirs(naming.table(unet.layers(cfg), "original"), like)
    assert original_config.unet(shapes) == cfg


@pytest.mark.parametrize("name", VAES)
def test_autoencoders(name):
    cfg, millions = VAES[name]
    like = abstract_params(build_vae(cfg))
    assert is_published(millions, like), count(like)
    shapes = theirs(naming.table(vae.layers(cfg), "original"), like)
    assert original_config.vae(shapes) == cfg


@pytest.mark.parametrize("name", VOCODERS)
def test_vocoders(name):
    cfg, millions = VOCODERS[name]
    like = abstract_params(build_hifigan(cfg))
    assert is_published(millions, like), count(like)
    shapes = theirs(hifigan.generator_table(cfg), like)
    assert original_config.vocoder(shapes) == cfg


def test_text_encoders():
    like = abstract_params(build_t5(t5.FLAN_T5_LARGE))
    assert original_config.t5(theirs(t5.table(t5.FLAN_T5_LARGE), like)) == (
        t5.FLAN_T5_LARGE
    )
    like = abstract_params(build_gpt2(gpt2.GPT2_BASE))
    assert original_config.gpt2(theirs(gpt2.table(gpt2.GPT2_BASE), like)) == (
        gpt2.GPT2_BASE
    )
    cfg = dataclasses.replace(CLAP_TEXT, epsilon=1e-5)
    named = theirs(clap_text_table(cfg), abstract_params(build_clap_text(cfg))).named
    laion = {
        name.replace("text_model.", "text_branch.").replace("linear1", "0"): shape
        for name, shape in named.items()
    }
    assert original_config.clap_text(Shapes(laion, "a.pth")) == cfg


@pytest.mark.parametrize("cfg", [htsat.TINY, htsat.BASE])
def test_audio_towers(cfg):
    """AudioLDM's smaller ones have the tiny tower, all others the base one."""
    params = abstract_params(build_htsat(cfg))
    named = theirs(htsat.table(cfg), params).named
    laion = {htsat._laion(name): shape for name, shape in named.items()}
    assert original_config.clap_audio(Shapes(laion, "a.pth")) == cfg


def test_an_unlike_unet_is_refused():
    cfg = of(channels=(32, 64, 96, 128), heads=(1, 2, 3, 4), contexts=(24,), blocks=1)
    like = abstract_params(build_unet(cfg))
    shapes = theirs(naming.table(unet.layers(cfg), "original"), like)
    name = "input_blocks.5.1.transformer_blocks.0.attn2.to_k.weight"
    shapes.named[name] = (96, 25)
    with pytest.raises(UserError, match=r"contexts of widths \[24, 25, 24, 24\]"):
        original_config.unet(shapes)
    shapes.named[name] = (96,)
    with pytest.raises(UserError, match=r"with 2 axes, and that has shape \[96\]"):
        original_config.unet(shapes)
