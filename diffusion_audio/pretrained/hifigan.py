"""HiFi-GAN's published weights: their names and layouts.

The generator as of jik876/hifi-gan (``g_*``, Auffusion's ``vocoder.pt``, BigVGAN's
activations) or transformers' SpeechT5HifiGan; the discriminators of ``do_*``. Weight
norm may be there or removed, under PyTorch's older names or its newer ones.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.rules import (
    SAME,
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    file_names,
    import_params,
    listed,
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
# Wrappers that PyTorch puts into the middle of names.
WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
UPSAMPLER = re.compile(r"(?:^|(?<=\.))upsampler\.(?=\d)")  # transformers' word
UNUSED = {"mean", "scale"}  # SpeechT5HifiGan's, which it uses if normalize_before

PAPER: dict[str, dict[str, Any]] = {"mpd": {}, "msd": {}}

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
    """The same arrays under the original's names, wherever in the file they lie."""
    named = {}
    for name, array in source.items():
        name = UPSAMPLER.sub("ups.", WRAPPERS.sub("", name))
        for ending, ours in ENDINGS.items():
            if name.endswith(ending):
                name = name[: -len(ending)] + ours
        if name in named:
            raise UserError(
                f"the weights have {listed([name])} twice, under two spellings"
            )
        named[name] = array
    return named


def import_generator(
    cfg: HiFiGANConfig, source: Mapping[str, np.ndarray], whose: str
) -> tuple[HiFiGANConfig, Params]:
    """A generator's parameters, with weight norm where the file has it.

    Args:
        cfg: of the generator, weight norm or not.
        source: its arrays and no others, by the original's names.
        whose: what the file is, for errors.

    Raises:
        UserError: the arrays are not those of this config.
    """
    named = {name: array for name, array in source.items() if name not in UNUSED}
    cfg = dataclasses.replace(cfg, weight_norm="conv_pre.weight_g" in named)
    like = abstract_params(build_hifigan(cfg))
    return cfg, import_params(generator_table(cfg), named, like, whose)


def find_generator(
    cfg: HiFiGANConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[tuple[HiFiGANConfig, Params]]:
    """A generator among all arrays of a file of others; see `find`.

    Raises:
        UserError: none or several of this config are in it.
    """
    names: frozenset[str] = frozenset()
    for norm in (False, True):
        form = dataclasses.replace(cfg, weight_norm=norm)
        like = abstract_params(build_hifigan(form))
        names |= file_names(generator_table(form), like)

    def fit(arrays: Arrays, where: str) -> tuple[HiFiGANConfig, Params]:
        return import_generator(cfg, arrays, where)

    return find(canonical(source), names, fit, whose, take)


def export_generator(cfg: HiFiGANConfig, params: Params) -> Arrays:
    """The original's names and layouts of a generator's parameters."""
    return export_params(generator_table(cfg), params)


def import_discriminators(
    settings: Mapping[str, Any], source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """MPD and MSD from a folder of ours: their arrays and no others.

    Args:
        settings: as `build_discriminators` takes them; `PAPER` for published ones.
        source: arrays by name.
        whose: what the file is, for errors.

    Raises:
        UserError: the arrays are not those of these discriminators.
    """
    like = abstract_params(build_discriminators(settings))
    return import_params(discriminator_table(like), source, like, whose)


def find_discriminators(
    settings: Mapping[str, Any], source: Mapping[str, np.ndarray], whose: str
) -> Found[Params]:
    """MPD and MSD among all arrays of a ``do_*`` file; its optimisers are left there.

    Each is found by itself, as each can be wrapped by itself (``mpd.module``).

    Raises:
        UserError: none or several of either are in it.
    """
    named, found = canonical(source), []
    params: Params = {}
    for kind in settings:
        like = abstract_params(build_discriminators({kind: settings[kind]}))
        table = [
            layer._replace(theirs=layer.theirs.removeprefix(f"{kind}."))
            for layer in discriminator_table(like)
        ]

        def fit(
            arrays: Arrays, where: str, table: list[Layer] = table, like: Params = like
        ) -> Params:
            return import_params(table, arrays, like, where)

        remedy = "give a file that has one"
        found.append(find(named, file_names(table, like), fit, whose, remedy=remedy))
        params |= found[-1].model
    left = [key for key in found[0].left if all(key in each.left for each in found[1:])]
    return Found(params, " and ".join(each.taken for each in found), tuple(left))


def export_discriminators(params: Params) -> Arrays:
    """The original's names and layouts of MPD and MSD."""
    return export_params(discriminator_table(params), params)
