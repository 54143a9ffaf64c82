"""The UNet's published weights: diffusers' names and those of the originals.

Stable Diffusion's (Auffusion), AudioLDM's and AudioLDM 2's, each as its diffusers
folder or its original ``.pth`` has it.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import naming
from diffusion_audio.pretrained.find import Found
from diffusion_audio.pretrained.kinds import CONV, DENSE, NORM
from diffusion_audio.pretrained.naming import Named
from diffusion_audio.pretrained.rules import Arrays, export_params, import_params

_RESNET = (
    ("norm1", "in_layers.0", NORM),
    ("conv1", "in_layers.2", CONV),
    ("time_emb_proj", "emb_layers.1", DENSE),
    ("norm2", "out_layers.0", NORM),
    ("conv2", "out_layers.3", CONV),
    ("conv_shortcut", "skip_connection", CONV),
)
_BLOCK = (
    *((f"norm{i}", f"norm{i}", NORM) for i in (1, 2, 3)),
    *(
        (f"attn{i}/{ours}", f"attn{i}.{theirs}", DENSE)
        for i in (1, 2)
        for ours, theirs in (
            *((name, name) for name in ("to_q", "to_k", "to_v")),
            ("to_out", "to_out.0"),
        )
    ),
    ("ff/proj", "ff.net.0.proj", DENSE),
    ("ff/out", "ff.net.2", DENSE),
)


def layers(cfg: UNetConfig) -> Iterator[Named]:
    """Every layer of a UNet."""
    yield Named("conv_in", "input_blocks.0.0", CONV)
    yield Named("time_embedding/linear_1", "time_embed.0", DENSE)
    yield Named("time_embedding/linear_2", "time_embed.2", DENSE)
    yield Named("class_embedding", "film_emb", DENSE)
    yield Named("conv_norm_out", "out.0", NORM)
    yield Named("conv_out", "out.2", CONV)
    stacks, last = len(cfg.contexts), len(cfg.channels) - 1
    number = 0  # the originals count residual blocks and resampling alike
    for i, attention in enumerate(cfg.attention):
        for site in range(cfg.blocks):
            number += 1
            yield from _site(
                cfg, f"down_blocks/{i}", site, f"input_blocks.{number}", attention
            )
        if i < last:
            number += 1
            ours = f"down_blocks/{i}/downsampler/conv"
            yield Named(ours, f"input_blocks.{number}.0.op", CONV)
    yield from _site(cfg, "mid_block", 0, "middle_block", True)
    yield from _resnet("mid_block/resnets/1", f"middle_block.{stacks + 1}")
    number = 0
    for i, attention in enumerate(reversed(cfg.attention)):
        for site in range(cfg.blocks + 1):
            theirs = f"output_blocks.{number}"
            yield from _site(cfg, f"up_blocks/{i}", site, theirs, attention)
            number += 1
        if i < last:
            place = 1 + stacks * attention
            ours = f"up_blocks/{i}/upsampler/conv"
            yield Named(ours, f"{theirs}.{place}.conv", CONV)


def import_unet(
    cfg: UNetConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    names: str = "diffusers",
) -> Params:
    """A UNet's parameters from its arrays and no others.

    Args:
        cfg: of the UNet.
        source: arrays by name.
        whose: what the file is, for errors.
        names: ``"diffusers"`` or ``"original"``.

    Raises:
        UserError: the arrays are not those of this config.
    """
    table = naming.table(layers(cfg), names)
    return import_params(
        table, naming.canonical(source), abstract_params(build_unet(cfg)), whose
    )


def find_unet(
    cfg: UNetConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """A UNet among all arrays of a file, by either naming; see `find`.

    Where an original has its moving average beside the weights, that is taken;
    ``take="model"`` is the weights, with which AudioLDM 2's code and diffusers'
    conversion generate.

    Raises:
        UserError: none or several of this config are in it.
    """
    return naming.find_model(
        layers(cfg), source, abstract_params(build_unet(cfg)), whose, take
    )


def export_unet(cfg: UNetConfig, params: Params, names: str = "diffusers") -> Arrays:
    """A UNet's arrays by ``"diffusers"``' or the ``"original"`` names."""
    return export_params(naming.table(layers(cfg), names), params)


def _site(
    cfg: UNetConfig, level: str, site: int, theirs: str, attention: bool
) -> Iterator[Named]:
    """A residual block and, with attention, the transformer stacks after it."""
    yield from _resnet(f"{level}/resnets/{site}", f"{theirs}.0")
    stacks = len(cfg.contexts)
    for i in range(stacks * attention):
        ours = f"{level}/attentions/{site * stacks + i}"
        yield from _stack(cfg, ours, f"{theirs}.{1 + i}")


def _resnet(ours: str, theirs: str) -> Iterator[Named]:
    for name, original, kind in _RESNET:
        yield Named(f"{ours}/{name}", f"{theirs}.{original}", kind)


def _stack(cfg: UNetConfig, ours: str, theirs: str) -> Iterator[Named]:
    project = CONV if cfg.projection == "conv" else DENSE
    yield Named(f"{ours}/norm", f"{theirs}.norm", NORM)
    yield Named(f"{ours}/proj_in", f"{theirs}.proj_in", project)
    yield Named(f"{ours}/proj_out", f"{theirs}.proj_out", project)
    for i in range(cfg.depth):
        for name, original, kind in _BLOCK:
            block = f"transformer_blocks.{i}"
            yield Named(
                f"{ours}/transformer_blocks/{i}/{name}",
                f"{theirs}.{block}.{original}",
                kind,
            )
