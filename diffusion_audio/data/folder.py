"""A folder of audio files, with captions beside them or without any."""

import functools
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from diffusion_audio.audio import files
from diffusion_audio.audio.decoders import Decode, here
from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data.inventory import clip_hash, inventory_hash
from diffusion_audio.data.listing import Entry, Listing, list_folder
from diffusion_audio.data.names import printable
from diffusion_audio.data.source import Clip, crop_or_pad
from diffusion_audio.data.splits import canonical, in_order
from diffusion_audio.errors import UserError, shortened

_log = logging.getLogger(__name__)


_MOST = 3  # faults that a warning names


class FolderSource:
    """A split of a folder; only the part of a file that is needed is decoded."""

    def __init__(
        self,
        name: str,
        entries: list[Entry],
        attributes: dict[str, tuple[str, ...]],
        sample_rate: int,
        decode: Decode = here,
    ):
        self.name = name
        self.entries = entries
        self.attributes = attributes
        self.decode = decode
        self._sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Clip:
        path = _usable(self.entries[index])
        audio = self.decode(files.read, path, self._sample_rate)
        return {"audio": audio, **self.describe(index)}

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """A part of the clip and one of its captions, both chosen by ``rng``."""
        # Drawn before the file is touched: what it holds moves no other choice.
        position = rng.random()
        clip = self.describe(index, rng)
        path = _usable(self.entries[index])
        audio = self.decode(files.excerpt, path, self._sample_rate, samples, position)
        return {"audio": crop_or_pad(audio, samples, 0.0), **clip}

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its audio; the first of its captions without ``rng``."""
        entry = self.entries[index]
        choice = 0 if rng is None else rng.integers(len(entry.captions))
        return {
            "caption": entry.captions[choice],
            "attributes": entry.attributes,
            "id": entry.name,
        }

    def captions(self) -> list[str]:
        """Every caption, all of those of a clip that has several."""
        return [caption for entry in self.entries for caption in entry.captions]

    def fingerprint(self) -> str:
        """Hash of the inventory, wherever the folder lies."""
        return inventory_hash(self.inventory())

    def inventory(self) -> dict[str, str]:
        """Hash of captions, attributes and a sample of the file of each clip."""

        def hashed(entry: Entry) -> str:
            path = None if entry.fault else entry.path
            return clip_hash(path, entry.captions, entry.attributes)

        with ThreadPoolExecutor() as pool:
            hashes = pool.map(hashed, self.entries)
            names = (entry.name for entry in self.entries)
            return dict(zip(names, hashes, strict=True))


def open_folder(
    place: str | Path, split: str, sample_rate: int, decode: Decode = here
) -> FolderSource:
    """A split of the folder at ``place``, or of the metadata file at ``place``.

    What is not used of it is logged as a warning, once; what cannot be used is named
    there, and met again when it is drawn.

    Raises:
        UserError: if there is no such split, or all of its clips are known to be bad.
    """
    listing = list_folder(place)
    name = f"folder:{printable(str(place))}"
    chosen = choose(listing.entries, name, split)
    _say(name, (*listing.taken,), (*listing.unused, *_faults(listing)))
    # Over all splits, so that a value has the same number in each.
    values: dict[str, set[str]] = {}
    for entry in listing.entries:
        for attribute, value in entry.attributes.items():
            values.setdefault(attribute, set()).add(value)
    attributes = {key: tuple(sorted(found)) for key, found in values.items()}
    return FolderSource(f"{name}/{split}", chosen, attributes, sample_rate, decode)


def choose(entries: list[Entry], name: str, split: str) -> list[Entry]:
    """The clips of one split.

    Raises:
        UserError: if it has none, or none that may be opened.
    """
    wanted = canonical(split)
    chosen = [entry for entry in entries if entry.split == wanted]
    if not chosen:
        raise _no_split(entries, name, split)
    if all(entry.fault for entry in chosen):
        raise UserError(f"every clip of {name}/{split} is bad: {_described(chosen)}")
    return chosen


def _no_split(entries: list[Entry], name: str, split: str) -> UserError:
    clips = Counter(entry.split for entry in entries)
    names = sorted(clips, key=in_order)
    known = ", ".join(f"{key} ({clips[key]})" for key in names)
    option = "train_split" if canonical(split) == "train" else "evaluation_split"
    return UserError(
        f"{name} has no split {split!r}; it has, with so many clips: {known}; choose "
        f"one by --config.data.{option}={names[0]}, or give clips that split"
    )


def _usable(entry: Entry) -> Path:
    if entry.fault:
        kind, detail = entry.fault
        raise AudioFileError(kind, shortened(entry.name), detail)
    return entry.path


def _faults(listing: Listing) -> tuple[str, ...]:
    bad = [entry for entry in listing.entries if entry.fault]
    others = [f"{name}: {fault.detail}" for name, fault in listing.faults.items()]
    if len(others) > _MOST:
        others[_MOST:] = [f"{len(others) - _MOST} more, which `data check` names"]
    return (*([_described(bad)] if bad else []), *others)


def _described(bad: list[Entry]) -> str:
    first = bad[0]
    detail = first.fault.detail if first.fault else ""
    more = f" ({len(bad)} bad clips in all; `data check` names them)"
    return f"{shortened(first.name)!r}: {detail}{more if len(bad) > 1 else ''}"


@functools.cache
def _say(name: str, taken: tuple[str, ...], unused: tuple[str, ...]) -> None:
    """How a folder was read: once a process, though each split is opened."""
    if taken:
        _log.info("%s: %s", name, "; ".join(taken))
    if unused:
        _log.warning("not used of %s: %s", name, "; ".join(unused))
