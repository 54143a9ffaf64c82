"""What the catalog says of the published models is what our networks are."""

import re
from dataclasses import replace

import jax
import pytest

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.diffusion.solvers import SOLVERS
from diffusion_audio.errors import UserError
from diffusion_audio.models.adapter import AdapterConfig, build_adapter
from diffusion_audio.models.clip_text import ClipTextConfig, build_clip_text
from diffusion_audio.models.gpt2 import GPT2Config, build_gpt2
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.models.phonemes import PhonemeConfig, build_phonemes
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import published_parts
from diffusion_audio.pretrained.catalog import MODELS, TOKENIZERS, find, listed
from diffusion_audio.pretrained.hub import is_hub_id
from diffusion_audio.pretrained.published_parts import Part

BUILD = {
    AdapterConfig: build_adapter,
    ClipTextConfig: build_clip_text,
    GPT2Config: build_gpt2,
    HiFiGANConfig: build_hifigan,
    HTSATConfig: build_htsat,
    PhonemeConfig: build_phonemes,
    ProjectionConfig: build_projection,
    RobertaConfig: build_clap_text,
    T5Config: build_t5,
    UNetConfig: build_unet,
    VAEConfig: build_vae,
}
PARTS = {
    name: part for name, part in vars(published_parts).items() if isinstance(part, Part)
}


QUICK = {"AUDIOLDM_S_UNET", "AUDIOLDM2_UNET"}


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in QUICK or not name.endswith("_UNET")
        else pytest.param(name, marks=pytest.mark.slow)  # seconds each
        for name in PARTS
    ],
)
def test_a_part_has_as_many_parameters_as_its_network(name):
    part = PARTS[name]
    params = abstract_params(BUILD[type(part.config)](part.config))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    sizes = [x.size for path, x in leaves if path[-1].key not in ("mean", "variance")]
    assert sum(sizes) == part.parameters


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        ("ORIGINAL_UNET", "AUDIOLDM2_UNET"),
        ("ORIGINAL_LARGE_UNET", "AUDIOLDM2_LARGE_UNET"),
        ("ORIGINAL_SPEECH_UNET", "AUDIOLDM2_SPEECH_UNET"),
    ],
)
def test_an_original_differs_in_heads_alone(mine, its):
    heads = PARTS[mine].config.heads
    assert replace(PARTS[its].config, heads=heads) == PARTS[mine].config
    assert PARTS[mine].parameters == PARTS[its].parameters
    assert [w // h for w, h in zip((128, 256, 384, 640), heads, strict=True)] == [
        32
    ] * 4


@pytest.mark.parametrize(
    ("name", "unet", "total"),
    [  # millions of the UNet, as published files have; billions of all, by the cards
        ("audioldm-s-full-v2", 185.04, None),
        ("audioldm-m-full", 415.95, None),
        ("audioldm-l-full", 739.14, None),
        ("audioldm2", 346.94, 1.1),
        ("audioldm2-large", 718.01, 1.5),
        ("audioldm2-music", 346.94, 1.1),
        ("audioldm2_gigaspeech", 261.9, None),
        ("audioldm2_ljspeech", 261.9, None),
        ("auffusion-full", 859.52, None),
        ("audioldm_48k", 262.7, None),
        ("audioldm_16k_crossattn_t5", 265.5, None),
    ],
)
def test_published_counts(name, unet, total):
    model = find(name)
    [denoiser] = [part for part in model.parts if part.role == "denoiser"]
    digits = len(str(unet).partition(".")[2])
    assert round(denoiser.parameters / 1e6, digits) == unet
    assert total is None or round(model.parameters / 1e9, 1) == total


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_entry_makes_sense(model):
    assert is_hub_id(model.hub_id)
    assert find(model.name) is find(model.hub_id) is listed(model.hub_id) is model
    assert model.sampler.solver in SOLVERS
    spec = PRESETS[model.audio]
    configs = {part.role: part.config for part in model.parts}
    vocoder, vae = configs["vocoder"], configs["autoencoder"]
    assert (vocoder.n_mels, vocoder.hop_length) == (spec.n_mels, spec.hop_length)
    assert configs["denoiser"].in_channels == vae.latent
    assert vae.in_channels == (3 if model.system == "auffusion" else 1)
    paths = [file.path for file in model.files]
    assert len(set(paths)) == len(paths)
    index = {"auffusion": "condition_config.json", "diffusers": "model_index.json"}
    assert index.get(model.layout, f"{model.name}.pth") in paths
    assert model.revision is None or re.fullmatch("[0-9a-f]{40}", model.revision)
    assert model.licence
    encoders = {published_parts.CLAP_TEXT: "clap", published_parts.T5: "t5"}
    needed = {encoders[part] for part in model.parts if part in encoders}
    assert set(model.tokenizers) <= TOKENIZERS.keys()
    assert bool(model.tokenizers) == (model.layout == "original")
    assert set(model.tokenizers) <= needed


def test_no_two_have_the_same_name():
    assert len({model.name for model in MODELS}) == len(MODELS)
    assert {model.system for model in MODELS} == {"audioldm", "audioldm2", "auffusion"}


@pytest.mark.parametrize(
    ("name", "near"),
    [("audioldm-2", "audioldm2"), ("cvssp/audioldm2-larg", "cvssp/audioldm2-large")],
)
def test_an_unknown_name_says_the_nearest(name, near):
    line = f"unknown model '{name}'; did you mean '{near}'"
    with pytest.raises(UserError, match=line):
        find(name)
    assert listed(name) is None
