"""Which clips are scored: files by key, their captions, and who is whose counterpart.

A clip's key is the stem of its file's name, and a caption's that of the file that its
row names, or a declared column. Keys are compared as they are: nothing is guessed.
"""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from absl import logging

from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.data.metadata import read_table
from diffusion_audio.data.names import Root, listed, printable
from diffusion_audio.data.walk import walk
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.named_protocol import ClipList
from diffusion_audio.evaluation.protocol import text_hash
from diffusion_audio.evaluation.protocols import TABLE


def find_clips(folder: str | Path) -> dict[str, Path]:
    """The audio files of a folder at any depth, by key, sorted.

    Raises:
        UserError: there is no such folder, a folder in it cannot be read, it holds no
            audio, or two files have one key.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{printable(str(folder))!r}: expected a folder of audio files")
    tree = walk(Root(folder))
    for name, fault in tree.faults.items():
        raise UserError(f"{folder / name}: {fault.detail}")
    if tree.unused:
        logging.warning("not used of %s: %s", folder, "; ".join(tree.unused))
    found: dict[str, Path] = {}
    for name in sorted(tree.audio):
        path = folder / name
        if other := found.get(path.stem):
            raise UserError(
                f"{folder}: {listed([str(other.relative_to(folder)), name])} have the "
                f"key {printable(path.stem)!r} both; a clip is known by its file's "
                "stem, so give each its own"
            )
        found[path.stem] = path
    if not found:
        raise UserError(
            f"{folder} holds no audio: no file ends in {', '.join(SUFFIXES)}"
        )
    return dict(sorted(found.items()))


def read_captions(path: str | Path, key: str | None = None) -> dict[str, str]:
    """The caption of each clip, by key, sorted.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.json`` table (`data.metadata`).
        key: the column that holds the keys; where None, the stems of the files that
            the rows name.

    Raises:
        UserError: it cannot be read, a row is bad or without a caption, or a key has
            several captions.
    """
    path = Path(path)
    table = read_table(path, key=key)
    for line, problem in table.faults.items():
        raise UserError(f"{line}: {problem}")
    captions: dict[str, str] = {}
    for row in table.rows:
        name = row.file_name if key else PurePosixPath(row.file_name).stem
        texts = set(filter(None, row.captions))
        if len(texts) != 1 or captions.get(name, row.captions[0]) != row.captions[0]:
            raise UserError(
                f"{row.where}: expected one caption of {printable(name)!r}, got "
                f"{'none' if not texts else 'several'}: a clip is scored by the one "
                "that it was made of"
            )
        captions[name] = row.captions[0]
    if not captions:
        raise UserError(f"{path} has no rows; expected a caption of each clip")
    return dict(sorted(captions.items()))


class Unpaired(NamedTuple):
    """Keys that lack a counterpart, by where they are."""

    generated: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


def pair(
    generated: Collection[str],
    reference: Collection[str] | None,
    captions: Mapping[str, str] | None,
    *,
    leave_out: bool,
) -> tuple[list[str], Unpaired]:
    """The keys that all have, and those that one of them lacks.

    Args:
        generated: keys.
        reference: keys; None where there is no reference.
        captions: by key; None where there are none.
        leave_out: clips without a counterpart are left out; else they are a mistake.

    Raises:
        UserError: naming clips without a counterpart; or there is no pair at all.
    """
    sets = [set(s) for s in (generated, reference, captions) if s is not None]
    common = set.intersection(*sets)
    unpaired = Unpaired(
        *(
            tuple(sorted(set(s or ()) - common))
            for s in (generated, reference, captions)
        )
    )
    if not common:
        names = [listed(sorted(s), most=1) for s in sets]
        raise UserError(
            f"no clip has a counterpart: keys are {' in one place and '.join(names)} "
            "in another; files are paired by their stems, captions by the stem of the "
            "file that they name or by --key=COLUMN (folders of other clips are "
            "--unpaired)"
        )
    if any(unpaired) and not leave_out:
        said = "; ".join(
            f"{len(keys)} of {place}: {listed(keys)}"
            for place, keys in unpaired._asdict().items()
            if keys
        )
        raise UserError(
            f"clips without a counterpart: {said}. Add or remove them, or leave them "
            "out by --paired_only, which is kept on record"
        )
    return sorted(common), unpaired


def require_list(protocol: str, expected: ClipList, keys: Collection[str]) -> str:
    """Refuses other clips than a protocol is of.

    Args:
        protocol: its name, for the message.
        expected: its list.
        keys: of the clips that are to be scored.

    Returns:
        The hash of the keys.

    Raises:
        UserError: the number or the ids differ; whose list it is, is said if known.
    """
    found = text_hash(sorted(keys))
    same = len(keys) == expected.count and expected.hash in (None, found)
    if same:
        return found
    others = {
        name: ids.hash
        for name in TABLE.names
        if name != protocol and (ids := TABLE[name].clips)
    }
    whose = [name for name, each in others.items() if each == found]
    known = f", the list of {whose[0]!r}" if whose else ""
    raise UserError(
        f"protocol {protocol!r} is of {expected.count} clips with the ids "
        f"{expected.hash}; got {len(keys)} with {found}{known}, such as "
        f"{listed(sorted(keys), most=1)}. An id is {expected.ids}; --own_clips scores "
        "these by the same constants, for comparisons among themselves"
    )
