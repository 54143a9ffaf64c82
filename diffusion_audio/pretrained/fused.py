"""Query, key and value of an attention, which some files keep in one matrix."""

import re
from collections.abc import Mapping

import numpy as np

from diffusion_audio.pretrained.rules import Arrays

FUSED = re.compile(r"(.*\battn)\.qkv\.(weight|bias)")
PARTS = ("query", "key", "value")


def split_qkv(source: Mapping[str, np.ndarray]) -> Arrays:
    """``attn.qkv`` becomes ``attn.query``, ``attn.key`` and ``attn.value``.

    What cannot be split in three stays as it is.
    """
    named: Arrays = {}
    for name, array in source.items():
        fused = FUSED.fullmatch(name)
        if fused is None or not array.ndim or len(array) % 3:
            named[name] = array
            continue
        stem, leaf = fused.groups()
        for part, piece in zip(PARTS, np.split(array, 3), strict=True):
            named[f"{stem}.{part}.{leaf}"] = piece
    return named


def joined_qkv(arrays: Arrays) -> Arrays:
    """The inverse of `split_qkv`."""
    named = dict(arrays)
    for name in [name for name in arrays if ".attn.query." in name]:
        stem, _, leaf = name.rpartition(".query.")
        pieces = [named.pop(f"{stem}.{part}.{leaf}") for part in PARTS]
        named[f"{stem}.qkv.{leaf}"] = np.concatenate(pieces)
    return named
