"""Which files of a hub's folder a model needs: configs, tokenizers, weights once.

Of a folder with several generations of its weights the one is taken that is read first
here, safetensors before pickles. No code, no other program's weights, no half
precision, no pictures, and nothing whose path leads out of its folder.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.rules import listed
from diffusion_audio.pretrained.system_folder import NAMES as OURS
from diffusion_audio.pretrained.weight_files import INDEX, MOST_SHARDS, NAMED

MOST_FILES = 10_000  # of a list, taken or not
LARGEST_FILE, LARGEST_TEXT = 50 << 30, 64 << 20  # bytes: a GPT-2 vocabulary has 2 MB
LARGEST_MODEL = 200 << 30
GIT, SHA256 = 40, 64  # digits of the hashes
DIGEST = re.compile(rf"[0-9a-f]{{{GIT}}}|[0-9a-f]{{{SHA256}}}")
TEXTS = (".json", ".txt", ".model")
CHECKPOINTS = (".pth", ".ckpt")
# Folders of the published layouts; Stable Diffusion's safety checker is none.
FOLDERS = {
    *("unet", "vae", "vocoder", "scheduler", "feature_extractor", "language_model"),
    *("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    *("projection_model", "text_encoder_0", "condition_adapter_0"),
}
WEIGHTED = FOLDERS - {"scheduler", "feature_extractor", "tokenizer", "tokenizer_2"}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""A tokenizer's files: the first must be there."""
INDICES = ("model_index.json", "condition_config.json")
"""Of a system of several folders, in diffusers' layout and in Auffusion's own."""


class Remote(NamedTuple):
    """A file of the hub.

    Attributes:
        path: in its folder.
        size: bytes.
        digest: SHA-256 of what is stored as a large file, Git's SHA-1 of what is not.
    """

    path: str
    size: int
    digest: str


def check(files: Iterable[Remote], whose: str) -> dict[str, Remote]:
    """A list of the hub by path, where nothing in it is absurd.

    Raises:
        UserError: it is too long, a path leads out of its folder, or sizes or hashes
            are none.
    """
    found: dict[str, Remote] = {}
    for file in files:
        if len(found) == MOST_FILES:
            raise UserError(f"{whose} lists more than {MOST_FILES} files; not a model")
        if not isinstance(file.path, str) or not _inside(file.path):
            raise UserError(
                f"{whose} lists {shortened(repr(file.path))}, which is no path within "
                "it; nothing was downloaded"
            )
        if type(file.size) is not int or not 0 <= file.size <= LARGEST_FILE:
            raise UserError(
                f"{whose} lists {file.path} with a size of {shortened(str(file.size))}"
                f"; expected bytes, at most {LARGEST_FILE}; nothing was downloaded"
            )
        if not DIGEST.fullmatch(str(file.digest)):
            raise UserError(
                f"{whose} lists {file.path} without a hash; nothing was downloaded"
            )
        found[file.path] = file
    return found


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and "/".join(parts) == path
        and ".." not in parts
        and not set(path) & {"\\", "\0"}
    )


def choose(files: Mapping[str, Remote], whose: str) -> list[Remote]:
    """The files that a model needs, by the layout that its list shows.

    Of a folder that `convert` wrote, those that say which: see `choose_listed`.

    Raises:
        UserError: it shows none, or weights or a config lack, or they are too large.
    """
    names = set(files)
    if set(OURS) <= names:
        return _sized(files, OURS, whose)
    if any(index in names for index in INDICES):
        wanted = _of_system(names)
        lacking = _lacking(wanted)
    else:
        wanted = _of_folder(names, "")
        checkpoints = sorted(n for n in names if n.endswith(CHECKPOINTS))
        if not any(map(is_weights, wanted)) and len(checkpoints) == 1:
            wanted |= set(checkpoints)
        lacking = [] if any(map(is_weights, wanted)) else ["weights of one model"]
    if lacking:
        raise UserError(
            f"{whose} has no {listed(lacking, 8)}; expected a system of AudioLDM, "
            "AudioLDM 2 or Auffusion, a folder that `convert` wrote, or one network "
            "with its config.json"
        )
    return _sized(files, wanted, whose)


def choose_listed(
    files: Mapping[str, Remote], hashes: Mapping[str, str], whose: str
) -> list[Remote]:
    """The files that the manifest of a folder of ours lists.

    Args:
        files: by path.
        hashes: SHA-256 by path, of the manifest (`system_folder.hashes`).
        whose: for errors.

    Raises:
        UserError: one lacks, is another than the manifest's, or too large.
    """
    lacking = sorted(hashes.keys() - files.keys())
    if lacking:
        raise UserError(
            f"{whose} lacks {listed(lacking)}, which its {OURS[1]} lists; was it "
            "uploaded in full?"
        )
    for path, sha256 in hashes.items():
        digest = files[path].digest  # Git's of small files: they are checked when read
        if len(digest) == SHA256 and digest != sha256:
            raise UserError(
                f"{whose} has another {path} than its {OURS[1]} lists: {digest}, not "
                f"{sha256}; it was changed after `convert` wrote it"
            )
    return _sized(files, hashes, whose)


def choose_tokenizer(files: Mapping[str, Remote], whose: str) -> list[Remote]:
    """The files of the tokenizer that lies beside an encoder's weights.

    Raises:
        UserError: there is none, or they are too large.
    """
    if TOKENIZER[0] not in files:
        raise UserError(f"{whose} has no {TOKENIZER[0]}; expected a tokenizer's files")
    return _sized(files, files.keys() & set(TOKENIZER), whose)


def _sized(
    files: Mapping[str, Remote], wanted: Iterable[str], whose: str
) -> list[Remote]:
    """The files of these names, where none is larger than it can be."""
    found = [files[name] for name in sorted(wanted)]
    for file in found:
        if file.path.endswith(TEXTS) and file.size > LARGEST_TEXT:
            raise UserError(
                f"{whose} lists {file.path} with {file.size} bytes; expected at most "
                f"{LARGEST_TEXT} of a text"
            )
    if sum(file.size for file in found) > LARGEST_MODEL:
        raise UserError(f"{whose} is larger than {LARGEST_MODEL >> 30} GiB in all")
    return found


def is_weights(name: str) -> bool:
    """Whether a file is one of weights, and not of text."""
    return not name.endswith(TEXTS)


def _of_system(names: set[str]) -> set[str]:
    wanted = {index for index in INDICES if index in names}
    for folder in {name.partition("/")[0] for name in names} & FOLDERS:
        wanted |= _of_folder(names, f"{folder}/")
    return wanted


def _of_folder(names: set[str], start: str) -> set[str]:
    """Texts of a folder, and one generation of its weights."""
    own = {n.removeprefix(start) for n in names if n.startswith(start)}
    own = {name for name in own if "/" not in name}
    wanted = {n for n in own if n.endswith(TEXTS) and not n.endswith(INDEX)}
    for name in NAMED:
        if name not in own:
            continue
        wanted.add(name)
        if name.endswith(INDEX):
            stem, end = name.removesuffix(INDEX).rsplit(".", 1)
            shard = re.compile(rf"{re.escape(stem)}-\d+-of-\d+\.{end}")
            wanted |= set(sorted(filter(shard.fullmatch, own))[:MOST_SHARDS])
        break
    return {start + name for name in wanted}


def _lacking(wanted: set[str]) -> list[str]:
    """What a system cannot be without, of the folders that it has."""
    lacking = [f"{name}/" for name in ("unet", "vae", "vocoder", "scheduler")]
    folders = {name.partition("/")[0] for name in wanted if "/" in name}
    lacking = [name for name in lacking if name[:-1] not in folders]
    for folder in sorted(folders & WEIGHTED):
        own = [name for name in wanted if name.startswith(f"{folder}/")]
        if f"{folder}/config.json" not in own:
            lacking.append(f"{folder}/config.json")
        if not any(map(is_weights, own)):
            lacking.append(f"weights in {folder}/")
    return lacking
