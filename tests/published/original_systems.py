"""Tiny systems in the one file of their original code, with all that lies in those."""

import dataclasses
import functools

import numpy as np

from diffusion_audio.models.gpt2 import GPT2Config, build_gpt2
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import gpt2, hifigan, htsat, projection, roberta, t5
from diffusion_audio.pretrained.unet import export_unet
from diffusion_audio.pretrained.vae import export_vae
from tests.published import tokenizer_files
from tests.published.random_weights import random_params
from tests.published.torch_zip import save

SCALE = 0.41
CLAP = RobertaConfig(
    vocabulary=tokenizer_files.ROBERTA_SIZE,
    positions=34,
    width=128,
    depth=2,
    heads=2,
    hidden=24,
    projection=12,
    epsilon=1e-5,
)
HTSAT = HTSATConfig(width=8, depths=(1, 2), heads=(2, 4), window=4, embedding=12)
T5 = T5Config(vocabulary=150, width=32, depth=2, heads=2, head_width=8, hidden=24)
GPT2 = GPT2Config(vocabulary=20, positions=64, width=128, depth=2, heads=2, hidden=48)
JOIN = ProjectionConfig(first=12, second=32, width=128)
UNET = UNetConfig(
    in_channels=4,
    out_channels=4,
    channels=(32, 64),
    attention=(False, True),
    heads=(1, 2),
    blocks=1,
)
VAE = VAEConfig(in_channels=1, channels=(32, 64), blocks=1, latent=4)
VOCODER = HiFiGANConfig(
    n_mels=16,
    channels=32,
    rates=(5, 4, 2, 2, 2),
    kernels=(16, 16, 8, 4, 4),
    resblock_kernels=(3, 5),
    dilations=((1, 3, 5), (1, 3, 5)),
    weight_norm=False,
)
VOCODER_48K = dataclasses.replace(
    VOCODER, rates=(6, 5, 4, 2, 2), kernels=(12, 10, 8, 4, 4)
)
# What a UNet is told, by kind.
TOLD = {
    "audioldm": {"contexts": (None,), "vector_dim": 12},
    "audioldm_48k": {"contexts": (None, None), "vector_dim": 12},
    "audioldm_16k_t5": {"contexts": (None, 32)},
    "audioldm2": {"contexts": (None, 128, 32)},
    "audioldm2_large": {"contexts": (None, 128, 32, None), "depth": 2},
}
KINDS = tuple(TOLD)
LANGUAGE = "cond_stage_models.0."
BUILD = {
    "clap": (CLAP, build_clap_text),
    "htsat": (HTSAT, build_htsat),
    "t5": (T5, build_t5),
    "gpt2": (GPT2, build_gpt2),
    "join": (JOIN, build_projection),
    "vae": (VAE, build_vae),
}


def configs(kind):
    """The configs of a kind's UNet and vocoder."""
    vocoder = VOCODER_48K if kind == "audioldm_48k" else VOCODER
    return dataclasses.replace(UNET, **TOLD[kind]), vocoder


@functools.cache
def make(kind):
    """The parameters of a kind's networks by name; ``average`` is of the UNet."""
    unet, vocoder = configs(kind)
    heard = random_params(abstract_params(build_hifigan(vocoder)))
    shapes = abstract_params(build_unet(unet))
    average = random_params(shapes, seed=1)
    return _shared() | {
        **{"unet": random_params(shapes), "average": average, "vocoder": heard}
    }


@functools.cache
def _shared():
    """The parameters of the networks that all kinds have."""
    return {
        name: random_params(abstract_params(build(cfg)))
        for name, (cfg, build) in BUILD.items()
    }


def arrays(kind):
    """All arrays of a kind's file, by their names."""
    trees, (unet, vocoder) = make(kind), configs(kind)
    weights = export_unet(unet, trees["unet"], "original")
    average = export_unet(unet, trees["average"], "original")
    found = {
        "betas": np.ones(8),
        "scale_factor": np.asarray(SCALE),
        **_under("model.diffusion_model.", weights),
        "model_ema.decay": np.ones(()),
        "model_ema.num_updates": np.ones(()),
    }
    for name, array in average.items():
        found["model_ema." + f"diffusion_model.{name}".replace(".", "")] = array
    found |= _under("first_stage_model.", export_vae(VAE, trees["vae"], "original"))
    heard = hifigan.export_generator(vocoder, trees["vocoder"])
    found |= _under("first_stage_model.vocoder.", heard)
    found["first_stage_model.loss.logvar"] = np.zeros(())
    if kind == "audioldm":
        return found | _under("cond_stage_model.model.", clap(trees))
    found |= _under("clap.model.", clap(trees))
    found["clap.mel_transform.spectrogram.window"] = np.ones(16)
    if kind == "audioldm_48k":
        return found | _under("cond_stage_models.0.model.", clap(trees))
    words = t5.export_t5(T5, trees["t5"])
    words["encoder.embed_tokens.weight"] = words["shared.weight"]
    if kind == "audioldm_16k_t5":
        return found | _under("cond_stage_models.0.model.", words)
    language = gpt2.export_gpt2(GPT2, trees["gpt2"])
    language["h.0.attn.bias"] = np.ones((1, 1, 64, 64))
    return {
        **found,
        **_under(f"{LANGUAGE}model.", language),
        **_under(LANGUAGE, _join(trees["join"])),
        **_under(f"{LANGUAGE}cond_stage_models.0.model.", clap(trees)),
        **_under(f"{LANGUAGE}cond_stage_models.1.model.", words),
        f"{LANGUAGE}cond_stage_models.2.audiomae.model.cls_token": np.ones((1, 1, 8)),
        **_under("cond_stage_models.1.model.", words),
    }


def clap(trees):
    """A whole CLAP by LAION's names, and what else it has."""
    text = roberta.export_clap_text(CLAP, trees["clap"])
    named = {}
    for name, array in text.items():
        name = name.replace("text_model.", "text_branch.").replace("linear1", "0")
        named[name.replace("linear2", "2")] = array
    return {
        **named,
        **htsat.export_laion(HTSAT, trees["htsat"]),
        "text_branch.embeddings.position_ids": np.ones((1, 34)),
        "text_transform.sequential.0.weight": np.ones((12, 12)),
        "audio_branch.logmel_extractor.melW": np.ones((16, 8)),
        "audio_branch.tscam_conv.bias": np.ones(4),
        "logit_scale_a": np.ones(()),
    }


def publish(kind, folder):
    """A folder with the file of a kind, and the tokenizers beside it."""
    write_tokenizers(folder)
    save(folder / f"{kind}.pth", arrays(kind), ("state_dict",))
    return folder


def write_tokenizers(folder):
    """The folders of tokenizers that the files of originals lack."""
    for name, files in {
        "tokenizer": tokenizer_files.roberta(),
        "tokenizer_2": tokenizer_files.t5(),
    }.items():
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / name / file).write_text(text, encoding="utf-8")


def _join(tree):
    """The projections, in two linear layers and two tables of 32 rows."""
    named = projection.export_projection(tree)
    found = {}
    for i, ours in enumerate(("projection", "projection_1")):
        for leaf in ("weight", "bias"):
            found[f"input_sequence_embed_linear.{i}.{leaf}"] = named[f"{ours}.{leaf}"]
    for table, token in {"start": "sos_embed", "end": "eos_embed"}.items():
        rows = np.ones((32, JOIN.width), np.float32)
        rows[0], rows[1] = named[token], named[f"{token}_1"]
        found[f"{table}_of_sequence_tokens.weight"] = rows
    return found


def _under(key, named):
    return {key + name: array for name, array in named.items()}
