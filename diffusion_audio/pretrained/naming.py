"""The two ways in which UNets and autoencoders of latent diffusion are named.

Ours follow diffusers but for a few words. The originals (CompVis, AudioLDM) number
their blocks through, whatever the level. Old diffusers files have older words for the
attention of the autoencoder, and an original's moving average is named without dots.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.rules import (
    Arrays,
    Kind,
    Layer,
    file_names,
    import_params,
    listed,
)

NAMINGS = ("diffusers", "original")

_WORDS = (
    (".downsampler.", ".downsamplers.0."),
    (".upsampler.", ".upsamplers.0."),
    (".ff.proj.", ".ff.net.0.proj."),
    (".ff.out.", ".ff.net.2."),
    (".attn.", "."),
    (".to_out.", ".to_out.0."),
)
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(rf"(?<=attentions\.0\.)({'|'.join(_OLD)})(?=\.(?:weight|bias)$)")
_AVERAGED = re.compile(r"(?<=model_ema\.diffusion_model)(?=\w)")


class Named(NamedTuple):
    """A layer with both its names.

    Attributes:
        ours: its path in our tree; diffusers' name follows from it.
        original: its name in the originals.
        kind: how it lies in a file.
        original_kind: how it lies in the originals, where that differs.
    """

    ours: str
    original: str
    kind: Kind
    original_kind: Kind | None = None


def table(layers: Iterable[Named], naming: str) -> Iterator[Layer]:
    """The layers by one of ``NAMINGS``.

    Raises:
        UserError: the naming is none of them.
    """
    if naming not in NAMINGS:
        raise unknown("naming of weights", naming, NAMINGS)
    for layer in layers:
        if naming == "original":
            kind = layer.original_kind or layer.kind
            yield Layer(layer.ours, layer.original, kind)
        else:
            yield Layer(layer.ours, _diffusers(layer.ours), layer.kind)


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The same arrays, old words for attention made new, averages under their key.

    Raises:
        UserError: one array is there under two spellings.
    """
    named: Arrays = {}
    for name, array in source.items():
        name = _AVERAGED.sub(".", name)
        name = _OLD_NAME.sub(lambda found: _OLD[found[0]], name)
        if name in named:
            raise UserError(
                f"the weights have {listed([name])} twice, under two spellings"
            )
        named[name] = array
    return named


def find_model(
    layers: Iterable[Named],
    source: Mapping[str, np.ndarray],
    like: Params,
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """A model among all arrays of a file, by either naming; see `find`.

    Args:
        layers: of the model.
        source: all arrays of the file, by dotted name.
        like: the model's abstract parameters.
        whose: what the file is, for errors.
        take: key of the group to take, where several are this model.

    Raises:
        UserError: none or several of this model are in it.
    """
    layers = list(layers)
    tables = {naming: list(table(layers, naming)) for naming in NAMINGS}
    names = {naming: file_names(tables[naming], like) for naming in NAMINGS}

    def fit(arrays: Arrays, where: str) -> Params:
        naming = max(NAMINGS, key=lambda naming: len(names[naming] & arrays.keys()))
        return import_params(tables[naming], arrays, like, where)

    expected = names["diffusers"] | names["original"]
    return find(canonical(source), expected, fit, whose, take)


def _diffusers(ours: str) -> str:
    name = f"{ours.replace('/', '.')}."
    for word, theirs in _WORDS:
        name = name.replace(word, theirs)
    return name[:-1]
