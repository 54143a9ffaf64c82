"""Tiny systems by kind, and their folders as published."""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np

from diffusion_audio.audio.clap_mel import ClapMel
from diffusion_audio.models.adapter import AdapterConfig
from diffusion_audio.models.clip_text import ClipTextConfig
from diffusion_audio.models.gpt2 import GPT2Config
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.models.projection import ProjectionConfig
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.models.t5 import T5Config
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import diffusers_folder
from diffusion_audio.pretrained.published_system import (
    PublishedSystem,
    audio_spec,
    group,
    plain,
)
from diffusion_audio.pretrained.safetensors_file import read
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems import system
from tests.published import tokenizers
from tests.published.random_weights import random_params
from tests.published.torch_zip import save

SCALE = 0.41
CLAP = RobertaConfig(
    vocabulary=300, positions=34, width=16, depth=2, heads=2, hidden=24, projection=12
)
HTSAT = HTSATConfig(
    width=8,
    depths=(1, 1, 1),
    heads=(2, 2, 2),
    window=4,
    n_mels=16,
    side=64,
    embedding=12,
)
MEL = ClapMel(n_mels=16, samples=48_000)
T5 = T5Config(vocabulary=150, width=32, depth=2, heads=2, head_width=8, hidden=24)
GPT2 = GPT2Config(vocabulary=20, positions=64, width=16, depth=2, heads=2, hidden=64)
CLIP = ClipTextConfig(
    vocabulary=400, max_tokens=24, width=16, depth=2, heads=2, hidden=24, eos=1
)
ADAPTER = AdapterConfig(condition=16, context=20)
UNET = UNetConfig(
    in_channels=4,
    out_channels=4,
    channels=(8, 16, 32),
    attention=(False, True, True),
    heads=(2, 4, 8),
    blocks=1,
    groups=4,
)
VAE = VAEConfig(in_channels=1, channels=(8, 16, 16), blocks=1, latent=4, groups=4)
VOCODER = HiFiGANConfig(
    n_mels=16,
    channels=32,
    rates=(5, 4, 2, 2, 2),
    kernels=(16, 16, 8, 4, 4),
    resblock_kernels=(3, 5),
    dilations=((1, 3), (1, 3)),
    weight_norm=False,
)
CHAIN = {"name": "scaled_linear", "steps": 1000}
AUDIOLDM = CHAIN | {"beta_start": 0.0015, "beta_end": 0.0195}
AUFFUSION = CHAIN | {"beta_start": 0.00085, "beta_end": 0.012}
DDIM = {"solver": {"name": "ddim", "eta": 0.0}, "spacing": "leading"}
LEADING = {"steps_offset": 1, "final": "first"}
KINDS = ("audioldm", "audioldm2", "audioldm2_large", "auffusion", "auffusion_plain")


def make(kind, seed=0):
    """A `PublishedSystem` of one of ``KINDS``."""
    settings, extras, family = KIND[kind]()
    picture = family == "auffusion"
    vae = dataclasses.replace(VAE, in_channels=3) if picture else VAE
    spec = audio_spec(f"{family.removesuffix('2')}_16k", VOCODER, 16_000)
    config = {
        "task": "diffusion",
        "system": family,
        "audio": spec.to_dict(),
        "data": {"seconds": 0.64},
        "components": {
            "autoencoder": {"autoencoder": group("picture" if picture else "vae", vae)},
            "vocoder": {"vocoder": group("hifigan", VOCODER)},
        },
        "schedule": AUFFUSION if picture else AUDIOLDM,
        "loss": {"prediction": "epsilon"},
        "sampling": DDIM | LEADING | {"steps": 3, "guidance": 3.0},
        **settings,
    }
    if picture:
        config["sampling"]["solver"] = {"name": "pndm"}
    params, frozen = system.build(config).shapes()
    shapes = {"denoiser": params["denoiser"], "autoencoder": frozen["autoencoder"]}
    shapes["vocoder"] = abstract_params(build_hifigan(VOCODER))
    shapes |= {f"conditioners/{k}": v for k, v in frozen["conditioners"].items()}
    trees = {name: random_params(tree, seed) for name, tree in shapes.items()}
    if "ranker" in config:
        (label,) = config["conditioners"]
        audio = random_params(abstract_params(build_htsat(HTSAT)), seed)
        text = trees[f"conditioners/{label}"]["clap"]
        trees["ranker"] = {"text": text, "audio": audio}
    parts = {name: lambda tree=tree: tree for name, tree in trees.items()}
    return PublishedSystem(config, parts, {}, SCALE, extras)


def publish(kind, folder, seed=0):
    """The folder of a system, as its authors lay it out."""
    diffusers_folder.write(folder, make(kind, seed))
    if kind == "auffusion":
        _pickled(folder)
    return folder


def _pickled(folder):
    """Auffusion's own files: pickles, and a vocoder as HiFi-GAN's code saves it."""
    for part, name in {
        "unet": "diffusion_pytorch_model.bin",
        "vae": "diffusion_pytorch_model.bin",
        "text_encoder_0": "pytorch_model.bin",
        "condition_adapter_0": "condition_adapter.pt",
        "vocoder": "vocoder.pt",
    }.items():
        (old,) = (folder / part).glob("*.safetensors")
        arrays = read(old)
        old.unlink()
        wrap = ()
        if part == "vocoder":
            arrays, wrap = _normed(arrays), ("generator",)
        save(folder / part / name, arrays, wrap)
    theirs = {
        "resblock": "1",
        "num_mels": VOCODER.n_mels,
        "upsample_initial_channel": VOCODER.channels,
        "upsample_rates": list(VOCODER.rates),
        "upsample_kernel_sizes": list(VOCODER.kernels),
        "resblock_kernel_sizes": list(VOCODER.resblock_kernels),
        "resblock_dilation_sizes": [list(d) for d in VOCODER.dilations],
        **{"sampling_rate": 16_000, "hop_size": 160, "n_fft": 2048, "win_size": 1024},
        **{"fmin": 0, "fmax": None, "segment_size": 5120},
    }
    (folder / "vocoder/config.json").write_text(json.dumps(theirs), encoding="utf-8")


def _normed(arrays):
    """A generator's arrays by the original's names, with weight norm."""
    found = {}
    for name, array in arrays.items():
        name = name.replace("upsampler.", "ups.")
        if name.endswith(".weight"):
            axes = tuple(range(1, array.ndim))
            norm = np.sqrt(np.square(array).sum(axes, keepdims=True))
            found[f"{name}_g"], found[f"{name}_v"] = norm, 2 * array
        elif name not in ("mean", "scale"):
            found[name] = array
    return found


def _audioldm():
    unet = dataclasses.replace(UNET, contexts=(None,), vector_dim=12)
    settings = {
        "denoiser": group("unet", unet),
        "conditioners": {"clap": {"name": "clap", "text": plain(CLAP)}},
    }
    return settings, _extras("clap", clap=("roberta", tokenizers.roberta)), "audioldm"


def _audioldm2(contexts=(None, 16, 32), depth=1):
    label = "language_of_audio"
    parts = {
        "clap": CLAP,
        "t5": T5,
        "projection": ProjectionConfig(first=12, second=32, width=16),
        "gpt2": GPT2,
    }
    unet = dataclasses.replace(UNET, contexts=contexts, depth=depth)
    settings = {
        "denoiser": group("unet", unet),
        "conditioners": {label: {"name": label, "tokens": 3}},
        "ranker": {"text": plain(CLAP), "audio": plain(HTSAT), "mel": plain(MEL)},
    }
    settings["conditioners"][label] |= {k: plain(cfg) for k, cfg in parts.items()}
    kinds = {"clap": ("roberta", tokenizers.roberta), "t5": ("t5", tokenizers.t5)}
    return settings, _extras(label, **kinds), "audioldm2"


def _audioldm2_large():
    return _audioldm2(contexts=(None, 16, 32, None), depth=2)


def _auffusion(adapter=ADAPTER):
    width = CLIP.width if adapter is None else adapter.context
    unet = dataclasses.replace(
        UNET, contexts=(width,), attention=(True, True, False), heads=(2, 2, 2)
    )
    clip = {"name": "clip", "text": plain(CLIP)}
    if adapter is not None:
        clip["adapter"] = plain(adapter)
    settings = {"denoiser": group("unet", unet), "conditioners": {"clip": clip}}
    return settings, _extras("clip", clip=("clip", tokenizers.clip)), "auffusion"


def _auffusion_plain():
    return _auffusion(None)


def _extras(label, **kinds):
    """The files of tokenizers, as `published_system.tokenizers` reads them."""
    found = {}
    for name, (kind, text) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tokenizer.json").write_text(text(), encoding="utf-8")
            most = 512 if kind == "t5" else None
            tokenizer = PublishedTokenizer.read(Path(folder), kind, most)
        found[f"conditioners/{label}/{name}.json"] = tokenizer.to_json()
    return found


KIND = {
    "audioldm": _audioldm,
    "audioldm2": _audioldm2,
    "audioldm2_large": _audioldm2_large,
    "auffusion": _auffusion,
    "auffusion_plain": _auffusion_plain,
}
