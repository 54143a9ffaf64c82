"""Which file of a folder holds published weights, and all arrays of it.

A folder may keep its weights in one file or in parts (shards) that an index names, and
may have several generations of them. What is taken is said, and where nothing says
which of two is meant, neither is.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import config_file, isolated
from diffusion_audio.pretrained.rules import listed

INDEX = ".index.json"
# What a folder's weights are called: transformers', diffusers', Auffusion's.
NAMED = tuple(
    name + end
    for name in (
        *("model.safetensors", "diffusion_pytorch_model.safetensors"),
        *("pytorch_model.bin", "diffusion_pytorch_model.bin"),
        *("condition_adapter.pt", "vocoder.pt"),
    )
    for end in ("", INDEX)
)
NUMBERED = re.compile(r"g_(\d+)(\.\w+)?")
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
SHARD = re.compile(r"-\d+-of-\d+\.\w+$")
MOST_SHARDS = 64
LONGEST_NAME = 255  # bytes, as file systems have it


class Chosen(NamedTuple):
    """The file of weights of a folder.

    Attributes:
        path: a file of weights, or an index of some.
        left: names of the files of weights beside it.
    """

    path: Path
    left: tuple[str, ...] = ()


def choose(source: Path, what: str = "vocoder") -> Chosen:
    """The file of a model's weights.

    Args:
        source: that file itself; or a folder, where it is the first there is of
            ``NAMED``, the newest ``g_*`` of HiFi-GAN's code, or the only file with one
            of ``ENDINGS``.
        what: of what they should be, for messages.

    Raises:
        UserError: there is none, or more than one and no rule.
    """
    if source.is_file():
        return Chosen(source)
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    files = sorted(path for path in source.iterdir() if path.is_file())
    named = sorted(
        (path for path in files if path.name in NAMED),
        key=lambda path: NAMED.index(path.name),
    )
    numbered = sorted(
        (path for path in files if NUMBERED.fullmatch(path.name)),
        key=lambda path: (int(path.name.split("_")[1].split(".")[0]), path.name),
        reverse=True,
    )
    found = named + numbered
    others = [
        path
        for path in files
        if path.suffix in ENDINGS
        and path not in found
        and not SHARD.search(path.name)
        and not path.name.startswith("do_")
    ]
    if not found and len(others) > 1:
        raise UserError(
            f"{source} has {listed(path.name for path in others)}; give the file that "
            f"is the {what}"
        )
    found += others
    if not found:
        raise UserError(
            f"{source} has no {what} in it: expected a file such as {NAMED[0]}, "
            f"{NAMED[2]}, g_00000000, or one that ends in {', '.join(ENDINGS)}"
        )
    return Chosen(found[0], tuple(path.name for path in found[1:]))


def has_weights(folder: Path) -> bool:
    """Whether a folder has a file that looks like weights of others."""
    return folder.is_dir() and any(
        path.suffix in ENDINGS or NUMBERED.fullmatch(path.name)
        for path in folder.iterdir()
    )


def is_name(name: object) -> bool:
    """Whether a value is the name of what may lie in a folder, and no way out of it."""
    return (
        isinstance(name, str)
        and name == Path(name).name
        and name not in (".", "..", "")
        and "\0" not in name
        and len(os.fsencode(name)) <= LONGEST_NAME
    )


def parts(path: Path) -> list[Path]:
    """The files of weights that a path stands for: itself, or those of an index.

    Raises:
        UserError: an index that is none, or that names what is not beside it.
    """
    if not path.name.endswith(INDEX):
        return [path]
    names = set(_weight_map(path).values())
    if len(names) > MOST_SHARDS:
        raise UserError(f"{path} names more than {MOST_SHARDS} files")
    for name in sorted(names):
        if not is_name(name):
            raise UserError(
                f"{path} names {name[:80]!r}; expected names of files beside it"
            )
    return [path.with_name(name) for name in sorted(names)]


def sha256(*paths: Path) -> str:
    """Of a file; of several, that of their digests, one after another."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(each.digest() for each in digests)).hexdigest()


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, or of the files of an index, by dotted name.

    Raises:
        UserError: a file lacks or is damaged, or the index and the files differ.
    """
    if not path.name.endswith(INDEX):
        return isolated.read(path)
    arrays: dict[str, np.ndarray] = {}
    for part in parts(path):
        for name, array in isolated.read(part).items():
            if name in arrays:
                raise UserError(f"{path} has {listed([name])} in two of its files")
            arrays[name] = array
    lacking = sorted(_weight_map(path).keys() - arrays.keys())
    if lacking:
        raise UserError(f"{path} names what its files lack: {listed(lacking)}")
    return arrays


def _weight_map(path: Path) -> Mapping[str, str]:
    names = config_file.read(path).get("weight_map")
    if (
        not isinstance(names, dict)
        or not names
        or not all(isinstance(name, str) for name in names.values())
    ):
        raise UserError(f"{path} is no index of weights: it has no weight_map of names")
    return names
