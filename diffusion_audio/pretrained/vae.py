"""The KL autoencoder's published weights: diffusers' names and the originals'."""

from collections.abc import Iterator, Mapping

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import naming
from diffusion_audio.pretrained.find import Found
from diffusion_audio.pretrained.kinds import CONV, DENSE, NORM, POINT
from diffusion_audio.pretrained.naming import Named
from diffusion_audio.pretrained.rules import Arrays, export_params, import_params

_RESNET = (
    ("norm1", "norm1", NORM),
    ("conv1", "conv1", CONV),
    ("norm2", "norm2", NORM),
    ("conv2", "conv2", CONV),
    ("conv_shortcut", "nin_shortcut", CONV),
)
_ATTENTION = (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out", "proj_out"))


def layers(cfg: VAEConfig) -> Iterator[Named]:
    """Every layer of an autoencoder."""
    yield Named("quant_conv", "quant_conv", CONV)
    yield Named("post_quant_conv", "post_quant_conv", CONV)
    last = len(cfg.channels) - 1
    for half in ("encoder", "decoder"):
        yield Named(f"{half}/conv_in", f"{half}.conv_in", CONV)
        yield Named(f"{half}/conv_norm_out", f"{half}.norm_out", NORM)
        yield Named(f"{half}/conv_out", f"{half}.conv_out", CONV)
        for i in (0, 1):
            ours = f"{half}/mid_block/resnets/{i}"
            yield from _resnet(ours, f"{half}.mid.block_{i + 1}")
        ours, theirs = f"{half}/mid_block/attentions/0", f"{half}.mid.attn_1"
        yield Named(f"{ours}/group_norm", f"{theirs}.norm", NORM)
        for name, original in _ATTENTION:
            yield Named(f"{ours}/attn/{name}", f"{theirs}.{original}", DENSE, POINT)
    for i in range(len(cfg.channels)):
        ours, theirs = f"encoder/down_blocks/{i}", f"encoder.down.{i}"
        for j in range(cfg.blocks):
            yield from _resnet(f"{ours}/resnets/{j}", f"{theirs}.block.{j}")
        yield Named(f"{ours}/downsampler/conv", f"{theirs}.downsample.conv", CONV)
        # The originals count the decoder's levels from the highest resolution.
        ours, theirs = f"decoder/up_blocks/{i}", f"decoder.up.{last - i}"
        for j in range(cfg.blocks + 1):
            yield from _resnet(f"{ours}/resnets/{j}", f"{theirs}.block.{j}")
        yield Named(f"{ours}/upsampler/conv", f"{theirs}.upsample.conv", CONV)


def import_vae(
    cfg: VAEConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    names: str = "diffusers",
) -> Params:
    """An autoencoder's parameters from its arrays and no others.

    Args:
        cfg: of the autoencoder.
        source: arrays by name; diffusers' older words for attention are read as well.
        whose: what the file is, for errors.
        names: ``"diffusers"`` or ``"original"``.

    Raises:
        UserError: the arrays are not those of this config.
    """
    table = naming.table(layers(cfg), names)
    named = naming.canonical(source)
    return import_params(table, named, abstract_params(build_vae(cfg)), whose)


def find_vae(
    cfg: VAEConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """An autoencoder among all arrays of a file, by either naming; see `find`.

    Raises:
        UserError: none or several of this config are in it.
    """
    like = abstract_params(build_vae(cfg))
    return naming.find_model(layers(cfg), source, like, whose, take)


def export_vae(cfg: VAEConfig, params: Params, names: str = "diffusers") -> Arrays:
    """An autoencoder's arrays by ``"diffusers"``' or the ``"original"`` names."""
    return export_params(naming.table(layers(cfg), names), params)


def _resnet(ours: str, theirs: str) -> Iterator[Named]:
    for name, original, kind in _RESNET:
        yield Named(f"{ours}/{name}", f"{theirs}.{original}", kind)
