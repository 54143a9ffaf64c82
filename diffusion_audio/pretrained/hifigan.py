"""HiFi-GAN's published weights: names, layouts and the configs beside them.

The generator as of jik876/hifi-gan (``g_*``, Auffusion's ``vocoder.pt``, BigVGAN's
activations) or transformers' SpeechT5HifiGan; the discriminators of ``do_*``. Weight
norm may be there or folded, under PyTorch's older names or its newer ones.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import PRESETS, AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import SLOPE, HiFiGANConfig, build_hifigan
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.rules import (
    SAME,
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    import_params,
    permuted,
)

# Endings and beginnings that mean the same, spelt as the original spells them.
ENDINGS = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
    ".parametrizations.weight.original": ".weight_orig",
    ".parametrizations.weight.0._u": ".weight_u",
    ".parametrizations.weight.0._v": ".weight_v",
}
BEGINNINGS = {"generator.": "", "upsampler.": "ups."}
UNUSED = {"mean", "scale"}  # SpeechT5HifiGan's, which it uses if normalize_before

PAPER: dict[str, dict[str, Any]] = {"mpd": {}, "msd": {}}

# What stands in a ``do_*`` beside the discriminators.
BESIDE = ("optim_g.", "optim_d.", "steps", "epoch")

# Its names of settings -> ours. The first are the original's, then transformers'.
SETTINGS = {
    "num_mels": "n_mels",
    "model_in_dim": "n_mels",
    "upsample_initial_channel": "channels",
    "upsample_rates": "rates",
    "upsample_kernel_sizes": "kernels",
    "resblock": "resblock",
    "resblock_kernel_sizes": "resblock_kernels",
    "resblock_dilation_sizes": "dilations",
}
AUDIO = {
    "sampling_rate": "sample_rate",
    "num_mels": "n_mels",
    "model_in_dim": "n_mels",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "fmin": "fmin",
    "fmax": "fmax",
}
POWER_EPS = 1e-9  # of the original's mels

_KERNEL = permuted(2, 1, 0)
_TRANSPOSED = permuted(2, 0, 1)
# MPD's kernels are [out, in, width, 1]: one wide along the period.
_COLUMN = Layout(
    lambda x: x[..., 0].transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0)[..., None]
)


def _convolution(layout: Layout) -> Kind:
    return {
        "bias": Leaf("bias", SAME),
        "kernel": Leaf("weight", layout),
        "g": Leaf("weight_g", layout),
        "v": Leaf("weight_v", layout),
    }


def _spectral(width: int) -> Kind:
    """Spectral norm's v is [in * width] there, [width * in] here."""
    flat = Layout(
        lambda v: v.reshape(-1, width).T.reshape(-1),
        lambda v: v.reshape(width, -1).T.reshape(-1),
    )
    return {
        "bias": Leaf("bias", SAME),
        "kernel": Leaf("weight_orig", _KERNEL),
        "spectral_u": Leaf("weight_u", SAME),
        "spectral_v": Leaf("weight_v", flat),
    }


CONV, UPSAMPLE, PERIOD = map(_convolution, (_KERNEL, _TRANSPOSED, _COLUMN))

SNAKE: Kind = {"alpha": Leaf("alpha", SAME), "beta": Leaf("beta", SAME)}


def generator_table(cfg: HiFiGANConfig) -> Iterator[Layer]:
    """The layers of a generator."""
    yield Layer("conv_pre", "conv_pre", CONV)
    yield Layer("conv_post", "conv_post", CONV)
    yield Layer("activation_post", "activation_post.act", SNAKE)
    number = 0
    for stage in range(len(cfg.rates)):
        yield Layer(f"upsamplers/{stage}", f"ups.{stage}", UPSAMPLE)
        for block, dilations in enumerate(cfg.dilations):
            ours, theirs = f"blocks/{stage}/{block}", f"resblocks.{number}"
            number += 1
            first = "convs1" if cfg.resblock == "1" else "convs"
            for i in range(len(dilations)):
                yield Layer(f"{ours}/dilated/{i}", f"{theirs}.{first}.{i}", CONV)
                yield Layer(f"{ours}/plain/{i}", f"{theirs}.convs2.{i}", CONV)
            for i in range(2 * len(dilations)):
                name = f"activations.{i}.act"
                yield Layer(f"{ours}/activations/{i}", f"{theirs}.{name}", SNAKE)


def discriminator_table(params: Params) -> Iterator[Layer]:
    """The layers of MPD and MSD, of a tree of (abstract) parameters."""
    for kind, discriminator in params.items():
        for part, layers in discriminator["parts"].items():
            convs = {f"convs/{i}": f"convs.{i}" for i in layers["convs"]}
            for ours, theirs in {**convs, "conv_post": "conv_post"}.items():
                node: Any = layers
                for name in ours.split("/"):
                    node = node[name]
                how = PERIOD if kind == "mpd" else CONV
                if "spectral_u" in node:
                    how = _spectral(node["kernel"].shape[0])
                yield Layer(
                    f"{kind}/parts/{part}/{ours}",
                    f"{kind}.discriminators.{part}.{theirs}",
                    how,
                )


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The same arrays under the original's names."""
    named = {}
    for name, array in source.items():
        for beginning, ours in BEGINNINGS.items():
            if name.startswith(beginning):
                name = ours + name[len(beginning) :]
        for ending, ours in ENDINGS.items():
            if name.endswith(ending):
                name = name[: -len(ending)] + ours
        if name in named:
            raise UserError(f"the weights have {name} twice, under two spellings")
        named[name] = array
    return named


def import_generator(
    cfg: HiFiGANConfig, source: Mapping[str, np.ndarray], whose: str
) -> tuple[HiFiGANConfig, Params]:
    """A generator's parameters, with weight norm where the file has it.

    Raises:
        UserError: the arrays are not those of this config.
    """
    named = {k: v for k, v in canonical(source).items() if k not in UNUSED}
    cfg = dataclasses.replace(cfg, weight_norm="conv_pre.weight_g" in named)
    like = abstract_params(build_hifigan(cfg))
    return cfg, import_params(generator_table(cfg), named, like, whose)


def export_generator(cfg: HiFiGANConfig, params: Params) -> Arrays:
    """The original's names and layouts of a generator's parameters."""
    return export_params(generator_table(cfg), params)


def import_discriminators(
    settings: Mapping[str, Any], source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """MPD and MSD from a ``do_*`` file; its optimisers are left there.

    Args:
        settings: as `build_discriminators` takes them; `PAPER` for published ones.
        source: arrays by name.
        whose: what the file is, for errors.

    Raises:
        UserError: the arrays are not those of these discriminators.
    """
    named = canonical({k: v for k, v in source.items() if not k.startswith(BESIDE)})
    like = abstract_params(build_discriminators(settings))
    return import_params(discriminator_table(like), named, like, whose)


def export_discriminators(params: Params) -> Arrays:
    """The original's names and layouts of MPD and MSD."""
    return export_params(discriminator_table(params), params)


def generator_config(config: Mapping[str, Any], whose: str) -> HiFiGANConfig:
    """Our settings from a published config.json.

    Raises:
        UserError: a setting lacks, or asks for what our generator does not do.
    """
    if config.get("normalize_before"):
        raise UserError(
            f"{whose} asks for normalize_before, a generator of normalised mels; "
            "only those of plain log-mels can be imported"
        )
    if config.get("leaky_relu_slope", SLOPE) != SLOPE:
        raise UserError(
            f"{whose} has leaky_relu_slope {config['leaky_relu_slope']}; expected "
            f"{SLOPE}"
        )
    found = {ours: config[name] for name, ours in SETTINGS.items() if name in config}
    found.setdefault("resblock", "1")  # transformers knows no other
    lacking = sorted(set(SETTINGS.values()) - found.keys())
    if lacking:
        raise UserError(
            f"{whose} is no config of a HiFi-GAN: it lacks {', '.join(lacking)}"
        )
    try:
        return HiFiGANConfig(**found | {"resblock": str(found["resblock"])})
    except TypeError as error:
        raise UserError(f"{whose} has a setting of the wrong type: {error}") from error


def audio_spec(
    config: Mapping[str, Any], hop_length: int, preset: str | None, whose: str
) -> AudioSpec:
    """The mels that a published vocoder takes.

    Args:
        config: the published config.json.
        hop_length: of the generator.
        preset: name of the AudioSpec; needed where the config does not say all, as
            transformers' does not.
        whose: what the config is, for errors.

    Raises:
        UserError: the preset lacks, is unknown or contradicts the config.
    """
    said = {ours: config[name] for name, ours in AUDIO.items() if name in config}
    said["hop_length"] = hop_length
    if preset is None:
        if not {"n_fft", "win_length", "sample_rate"} <= said.keys():
            raise UserError(
                f"{whose} does not say how its mels are made; give --audio="
                f"{'|'.join(_fitting(said) or PRESETS)}"
            )
        return AudioSpec(**{"power_eps": POWER_EPS, **said})
    if preset not in PRESETS:
        raise unknown("audio preset", preset, PRESETS)
    wrong = _contradictions(PRESETS[preset], said)
    if wrong:
        raise UserError(
            f"audio preset {preset!r} is not that of {whose}: {'; '.join(wrong)}"
        )
    return PRESETS[preset]


def _contradictions(spec: AudioSpec, said: Mapping[str, Any]) -> list[str]:
    theirs = spec.to_dict()
    top = spec.sample_rate / 2
    return [
        f"{name} {theirs[name]} != {value}"
        for name, value in said.items()
        if theirs[name] != (top if name == "fmax" and value is None else value)
    ]


def _fitting(said: Mapping[str, Any]) -> list[str]:
    return [name for name, spec in PRESETS.items() if not _contradictions(spec, said)]
