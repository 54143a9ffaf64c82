"""Whole generations on both sides: a prompt's tokens and noise to mel and waveform.

See `benchmarks.components`. PyTorch's side is diffusers' networks and scheduler, joined
as its pipelines join them; guidance is a batch of two on both sides.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kind import Inputs, Kind, Sizes, normal
from benchmarks.sound_kinds import SOUND_KINDS
from benchmarks.text_kinds import TEXT_KINDS
from benchmarks.whole_systems import WholeConfig
from diffusion_audio.models.clip_text import ClipTextConfig
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.nn.functional import Network
from diffusion_audio.pretrained import scheduler_config
from diffusion_audio.settings import of_group, settings
from diffusion_audio.systems.conditioners import language_of_audio
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import build

LOW, HIGH = math.log(1e-5), math.log(200)  # of Auffusion's images


class _Part(NamedTuple):
    """A network of a system: its kind, and its config."""

    kind: Kind
    cfg: Any


class _Told(NamedTuple):
    """A conditioner of ours as a network of `TEXT_KINDS`.

    Attributes:
        part: of its group of a config.
        arrays: what ours reads, from the network's inputs.
        arguments: of diffusers' UNet, from the network's outputs and inputs.
    """

    part: Callable[[Mapping[str, Any]], _Part]
    arrays: Callable[[Inputs], Inputs]
    arguments: Callable[[Any, Any], dict[str, Any]]


def _words(name: str) -> Callable[[Inputs], Inputs]:
    return lambda x: {f"{name}_tokens": x["ids"], f"{name}_mask": x["mask"]}


TOLD = {
    "clap": _Told(
        lambda group: _text("clap_text", RobertaConfig, group["text"]),
        _words("clap"),
        lambda out, _: {"encoder_hidden_states": None, "class_labels": out},
    ),
    "clip": _Told(
        lambda group: _text("clip_text", ClipTextConfig, group["text"]),
        _words("clip"),
        lambda out, _: {"encoder_hidden_states": out[0]},
    ),
    "language_of_audio": _Told(
        lambda group: _text("language_of_audio", language_of_audio.Config, group),
        lambda x: {name: x[name] for name in x if name.startswith(("clap", "t5"))},
        lambda out, x: {
            "encoder_hidden_states": out[0],
            "encoder_hidden_states_1": out[1],
            "encoder_attention_mask_1": x["t5_mask"],
        },
    ),
}


def _text(kind: str, made: type, group: Mapping[str, Any]) -> _Part:
    return _Part(TEXT_KINDS[kind], _config(made, group))


def _config(made: type, group: Mapping[str, Any]) -> Any:
    values = {key: value for key, value in group.items() if key != "name"}
    return of_group(made, values, str(group.get("name", "text")))


def _told(cfg: WholeConfig) -> tuple[str, _Told]:
    """The label of the one conditioner, and what it is in PyTorch."""
    ((label, group),) = cfg.config["conditioners"].items()
    return label, TOLD[group["name"]]


def _parts(cfg: WholeConfig) -> dict[str, _Part]:
    config = cfg.config
    label, told = _told(cfg)
    vae = config["components"]["autoencoder"]["autoencoder"]
    vocoder = config["components"]["vocoder"]["vocoder"]
    return {
        "text": told.part(config["conditioners"][label]),
        "unet": _Part(SOUND_KINDS["unet"], _config(UNetConfig, config["denoiser"])),
        "vae": _Part(SOUND_KINDS["vae_decode"], _config(VAEConfig, vae)),
        "vocoder": _Part(SOUND_KINDS["vocoder"], _config(HiFiGANConfig, vocoder)),
    }


def _build(cfg: WholeConfig) -> Network:
    system = build(cfg.config)
    label, told = _told(cfg)
    sampling = settings(SamplingConfig, cfg.config, "sampling")
    unguided = dataclasses.replace(sampling, guidance=1.0)

    def apply(params: Any, inputs: Any) -> Any:
        frozen = params["frozen"] | {"latent_scale": jnp.float32(cfg.latent_scale)}
        arrays = told.arrays(inputs) | {"given": jnp.array([True, False])}
        prompt, null = (
            {label: jax.tree.map(lambda x, rows=rows: x[rows], arrays)}
            for rows in (np.s_[:1], np.s_[1:])
        )
        z = system.sample(
            params["params"],
            frozen,
            unguided,
            inputs["z"],
            prompt,
            null,
            jnp.float32(sampling.guidance),
            jax.random.key(0),
            jnp.arange(1),
        )
        mel = system.decode(frozen, z)
        return mel, system.vocode(frozen, mel)

    params, frozen = system.shapes()
    del frozen["latent_scale"]
    return Network(_never, apply, {"params": params, "frozen": frozen})


def _never(key: Any) -> Any:
    raise NotImplementedError(f"random weights come from elsewhere, not from {key}")


def _inputs(cfg: WholeConfig, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    system = build(cfg.config)
    samples = round(cfg.config["data"]["seconds"] * system.spec.sample_rate)
    text = _parts(cfg)["text"]
    found = text.kind.inputs(text.cfg, {"batch": 2, **sizes}, rng)
    return found | {"z": normal(rng, 1, *system.latent_shape(samples))}


def _model(cfg: WholeConfig) -> Any:
    import torch

    made = torch.nn.ModuleDict(
        {name: part.kind.model(part.cfg) for name, part in _parts(cfg).items()}
    )
    made.settings = cfg
    return made


def _theirs(model: Any, inputs: Any) -> Any:
    import diffusers
    import torch

    cfg = model.settings
    config, told, text = cfg.config, _told(cfg)[1], _parts(cfg)["text"]
    asked = told.arguments(text.kind.theirs(model["text"], inputs), inputs)
    chain = scheduler_config.scheduler_json(config)
    scheduler = getattr(diffusers, chain["_class_name"]).from_config(chain)
    scheduler.set_timesteps(config["sampling"]["steps"])
    z = inputs["z"].permute(0, 3, 1, 2)
    for t in scheduler.timesteps:
        some, none = model["unet"](torch.cat([z, z]), t, **asked).sample.chunk(2)
        guided = none + config["sampling"]["guidance"] * (some - none)
        z = scheduler.step(guided, t, z).prev_sample
    mel = model["vae"].decode(z / cfg.latent_scale).sample[:, 0]
    if config["system"] == "auffusion":
        image = (mel / 2 + 0.5).clamp(0, 1)
        mel = (image.flip(1) * (HIGH - LOW) + LOW).mT
    vocoder = _parts(cfg)["vocoder"].kind
    return mel, vocoder.theirs(model["vocoder"], {"mel": mel})


def _read(cfg: WholeConfig, arrays: Mapping[str, np.ndarray]) -> Any:
    found = {}
    for name, part in _parts(cfg).items():
        start = f"{name}."
        own = {
            key.removeprefix(start): array
            for key, array in arrays.items()
            if key.startswith(start)
        }
        found[name] = part.kind.read(part.cfg, own)
    label, _ = _told(cfg)
    # A tower alone, in a conditioner that may have an adapter beside it.
    text = {"text": found["text"]} if label == "clip" else found["text"]
    frozen = {"autoencoder": found["vae"], "vocoder": found["vocoder"]}
    return {
        "params": {"denoiser": found["unet"], "conditioners": {}},
        "frozen": frozen | {"conditioners": {label: text}},
    }


WHOLE = Kind(
    _build,
    _inputs,
    lambda network, params, inputs: network.apply(params, inputs),
    _model,
    _theirs,
    _read,
    bound=1e-3,
    half=False,  # steps of guidance with random weights multiply what is rounded
)
