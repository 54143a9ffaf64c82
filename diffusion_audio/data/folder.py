"""A folder of audio files, with captions beside them or without any."""

import dataclasses
import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from diffusion_audio.audio import files
from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.data.inventory import clip_hash, inventory_hash
from diffusion_audio.data.metadata import Row, read_rows
from diffusion_audio.data.source import Clip, fit
from diffusion_audio.errors import UserError, unknown

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.json")
VALIDATION_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
    """One clip of a folder.

    Attributes:
        name: path below the root, with forward slashes.
        path: where that is.
        captions: all of them; ``("",)`` if the folder has none.
        attributes: what else the metadata says.
        split: ``"train"``, ``"validation"``, or what the metadata says.
        where: metadata file and line, for messages.
    """

    name: str
    path: Path
    captions: tuple[str, ...]
    attributes: dict[str, str]
    split: str
    where: str


class FolderSource:
    """A split of a folder; only the part of a file that is needed is decoded."""

    def __init__(
        self,
        name: str,
        entries: list[Entry],
        attributes: dict[str, tuple[str, ...]],
        sample_rate: int,
    ):
        self.name = name
        self.entries = entries
        self.attributes = attributes
        self._sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Clip:
        audio = files.read(self.entries[index].path, self._sample_rate)
        return {"audio": audio, **self.describe(index)}

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """A part of the clip and one of its captions, both chosen by ``rng``."""
        # Drawn before the file is touched: what it holds moves no other choice.
        position = rng.random()
        clip = self.describe(index, rng)
        path = self.entries[index].path
        seconds = samples / self._sample_rate
        spare = max(0.0, files.probe(path).seconds - seconds)
        audio = files.read(
            path, self._sample_rate, offset=position * spare, max_seconds=seconds
        )
        return {"audio": fit(audio, samples, 0.0), **clip}

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
            return clip_hash(entry.path, entry.captions, entry.attributes)

        with ThreadPoolExecutor() as pool:
            hashes = pool.map(hashed, self.entries)
            names = (entry.name for entry in self.entries)
            return dict(zip(names, hashes, strict=True))


def open_folder(place: str | Path, split: str, sample_rate: int) -> FolderSource:
    """A split of the folder at ``place``, or of the metadata file at ``place``.

    Raises:
        UserError: if there is no such split, or a file that the metadata names is not
            there; ``data check`` names all of them.
    """
    entries = list_entries(place)
    for entry in entries:
        if not entry.path.is_file():
            raise UserError(f"{entry.where}: no file {str(entry.path)!r}")
    splits = sorted({entry.split for entry in entries})
    if split not in splits:
        raise unknown(f"split of folder {str(place)!r}", split, splits)
    chosen = [entry for entry in entries if entry.split == split]
    # Over all splits, so that a value has the same number in each.
    values: dict[str, set[str]] = {}
    for entry in entries:
        for name, value in entry.attributes.items():
            values.setdefault(name, set()).add(value)
    attributes = {name: tuple(sorted(found)) for name, found in values.items()}
    return FolderSource(f"folder:{place}/{split}", chosen, attributes, sample_rate)


def list_entries(place: str | Path) -> list[Entry]:
    """Every clip of a folder, sorted by name, whether its file is there or not.

    The metadata is ``metadata.csv``, ``metadata.jsonl`` (``file_name``, ``caption``)
    or ``metadata.json`` (AudioLDM's ``{"data": [{"wav", "caption"}]}``) in the folder,
    or the file given; paths in it are relative to where it lies. A folder without
    metadata has all its audio files, with the caption "".

    Splits are those of a ``split`` column, else 5 % of the files (by a hash of their
    names, at least one) are the validation split.
    """
    place = Path(place)
    if place.is_file():
        root, metadata = place.parent, [place]
    elif place.is_dir():
        root, metadata = place, [p for n in METADATA if (p := place / n).is_file()]
    else:
        raise UserError(f"data folder {str(place)!r}: no such folder or metadata file")
    if len(metadata) > 1:
        raise UserError(
            f"folder {str(root)!r} has {' and '.join(p.name for p in metadata)}: "
            f"keep one, or name the file: folder:{metadata[0]}"
        )
    rows = read_rows(metadata[0]) if metadata else _rows_of_files(root)
    if not rows:
        raise UserError(
            f"folder {str(root)!r} holds no clips: neither {', '.join(METADATA)} "
            f"nor a file that ends in {', '.join(SUFFIXES)}"
        )
    real_root = root.resolve()
    splits = _splits(rows)
    entries = [
        Entry(
            name=row.file_name,
            path=_inside(real_root, row),
            captions=row.captions,
            attributes=row.attributes,
            split=split,
            where=row.where,
        )
        for row, split in zip(rows, splits, strict=True)
    ]
    entries.sort(key=lambda entry: entry.name)
    for one, other in itertools.pairwise(entries):
        if one.name == other.name:
            raise UserError(f"{other.where}: {one.name!r} is already at {one.where}")
    return entries


def _rows_of_files(root: Path) -> list[Row]:
    names = [
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    return [
        Row(name.as_posix(), ("",), {}, None, str(root / name))
        for name in names
        if not any(part.startswith(".") for part in name.parts)
    ]


def _inside(root: Path, row: Row) -> Path:
    """The path of a row's file, which no ``..`` and no link may lead out of root."""
    problem = UserError(
        f"{row.where}: {row.file_name!r} leads out of the folder {str(root)!r}; "
        f"files are named relative to it and lie inside it"
    )
    if "\0" in row.file_name or Path(row.file_name).is_absolute():
        raise problem
    try:
        path = (root / row.file_name).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise problem from error
    if not path.is_relative_to(root) or path == root:
        raise problem
    return path


def _splits(rows: list[Row]) -> list[str]:
    told = [row for row in rows if row.split is not None]
    if told:
        for row in rows:
            if row.split is None:
                raise UserError(
                    f"{row.where}: no split, though {told[0].where} has one: "
                    f"give every clip a split, or none"
                )
        return [row.split or "" for row in rows]
    shares = [
        int.from_bytes(hashlib.sha256(row.file_name.encode()).digest()[:8], "big")
        / 2.0**64
        for row in rows
    ]
    if len(rows) == 1:
        return ["train"]
    # One goes to validation even if chance puts none within 5 %.
    bar = max(VALIDATION_SHARE, min(shares))
    return ["validation" if share <= bar else "train" for share in shares]
