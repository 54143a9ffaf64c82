"""The clips of a folder with their captions and splits, and what of it is not used."""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.data.columns import Row, without_blanks
from diffusion_audio.data.metadata import FORMS, read_table
from diffusion_audio.data.names import Fault, Located, Root, listed, printable
from diffusion_audio.data.sidecars import pair, read_sidecar
from diffusion_audio.data.splits import assign, columns_like_splits, in_order
from diffusion_audio.data.walk import Tree, walk
from diffusion_audio.errors import UserError

_METADATA = "metadata.csv, .tsv, .jsonl or .json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One clip of a folder.

    Attributes:
        name: path below the root, with forward slashes; printable.
        path: where that is.
        captions: all of them; ``("",)`` if it has none.
        attributes: what else the metadata says.
        split: ``"train"``, ``"validation"``, or what the metadata or folders say.
        where: metadata file and line, for messages.
        fault: why it cannot be used, if that is known without opening it.
    """

    name: str
    path: Path
    captions: tuple[str, ...]
    attributes: dict[str, str]
    split: str
    where: str
    fault: Fault | None = None


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
        entries: every clip, sorted by name.
        faults: folders within it, and lines of its metadata, that cannot be read.
        taken: how it was understood where that is not plain, a line each.
        unused: what looks like captions or audio and is not used, a line each.
    """

    entries: list[Entry]
    faults: dict[str, Fault]
    taken: list[str]
    unused: list[str]


class _Metadata(NamedTuple):
    """What files say of the clips; names are below the root and printable."""

    rows: list[Row]
    located: dict[str, Located]
    faults: dict[str, Fault]
    taken: list[str]
    unused: list[str]


def list_folder(place: str | Path) -> Listing:
    """Every clip of a folder, whether its file is there or not; no audio is read.

    Captions are those of ``metadata.csv``, ``.tsv``, ``.jsonl`` or ``.json`` in the
    folder; else of such files in the folders in it; else of ``.txt`` and ``.json``
    files beside the clips. Of a file given, names are relative to where it lies. All
    that ``docs/data.md`` shows is read here; the splits are those of `splits.assign`.

    Raises:
        UserError: if there is no such folder or no clip in it, or for a mistake in the
            metadata.
    """
    place = Path(place)
    if os.path.isfile(place):
        root, tree = Root(place.parent), Tree([], [], [], {}, [])
        metadata = _metadata_by_tables(root, [place.name])
    elif os.path.isdir(place):
        root = Root(place)
        tree = walk(root)
        metadata = _metadata_by_folder(root, tree)
    else:
        raise UserError(
            f"data folder {printable(str(place))!r}: no such folder or metadata file"
        )
    unused = [*metadata.unused, *tree.unused]
    if not metadata.rows:
        besides = f"; not used: {'; '.join(unused)}" if unused else ""
        raise UserError(
            f"folder {printable(str(root.path))!r} holds no clips: neither {_METADATA} "
            f"with rows nor a file that ends in {', '.join(SUFFIXES)}{besides}"
        )
    bad = {name for name, located in metadata.located.items() if located.fault}
    splits = assign(metadata.rows, bad)
    entries, differing = _merged(metadata, splits.of_rows)
    if differing:
        unused.append(
            f"the column {listed(differing)}: the rows of one clip differ in it"
        )
    if like_splits := columns_like_splits(metadata.rows):
        unused.append(f"{listed(like_splits)} as splits: call the column 'split'")
    taken = [*metadata.taken, *splits.taken]
    names = {entry.split for entry in entries}
    if "validation" not in names:
        choices = ", ".join(sorted(names, key=in_order))
        taken.append(
            f"there is no validation split (the splits are: {choices}): to train, give "
            f"--config.data.evaluation_split={min(names, key=in_order)}"
        )
    faults = tree.faults | metadata.faults
    return Listing(entries, faults, taken, [*unused, *splits.unused])


def _metadata_by_folder(root: Root, tree: Tree) -> _Metadata:
    """From metadata in the folder, else in those in it, else beside the clips."""
    tables = _metadata(root, tree.tables)
    if not tables:
        return _metadata_by_sidecars(root, tree)
    metadata = _metadata_by_tables(root, tables)
    besides = [n for n in (*tree.texts, *tree.tables) if n not in tables]
    if besides:
        metadata.unused.append(
            f"{listed(besides)}: the captions are in {listed(tables)}"
        )
    unlisted = [n for n in tree.audio if printable(n) not in metadata.located]
    if unlisted:
        metadata.unused.append(
            f"{listed(unlisted)}: not among those of {listed(tables)}"
        )
    if any(os.path.dirname(name) for name in tables):
        metadata.taken.append(f"clips and captions are those of {listed(tables)}")
    return metadata


def _metadata(root: Root, tables: list[str]) -> list[str]:
    """The metadata files that count: one in the root, or one a folder further down."""
    found: dict[str, list[str]] = {}
    for name in tables:
        folder, file = os.path.split(name)
        stem, suffix = os.path.splitext(file.lower())
        # Further down, devices and tools leave a metadata.json that has no captions.
        if (
            stem == "metadata"
            and suffix in FORMS
            and not (folder and suffix == ".json")
        ):
            found.setdefault(folder, []).append(name)
    chosen = {"": found[""]} if "" in found else found
    for folder, names in chosen.items():
        if len(names) > 1:
            where = printable(str(root.path / folder))
            raise UserError(
                f"folder {where!r} has {' and '.join(map(os.path.basename, names))}: "
                f"keep one, or name the file: folder:{root.path / names[0]}"
            )
    return [name for names in chosen.values() for name in names]


def _metadata_by_tables(root: Root, names: list[str]) -> _Metadata:
    metadata = _Metadata([], {}, {}, [], [])
    for name in names:
        table = read_table(root.path / name)
        for line, problem in table.faults.items():
            below = line.removeprefix(f"{printable(str(root.path))}/")
            metadata.faults[below] = Fault("metadata", problem)
        for row in table.rows:
            located = root.locate(row.file_name, os.path.dirname(name))
            if located.fault:
                kind, detail = located.fault
                fault = Fault(kind, f"{detail}; it is named in {row.where}")
                located = located._replace(fault=fault)
            metadata.located.setdefault(located.name, located)
            metadata.rows.append(row._replace(file_name=located.name))
        metadata.taken.extend(table.taken)
        metadata.unused.extend(table.unused)
    return metadata


def _metadata_by_sidecars(root: Root, tree: Tree) -> _Metadata:
    """Every audio file is a clip; a file beside it may have its captions."""
    metadata = _Metadata([], {}, {}, [], [])
    is_json = [name for name in tree.tables if name.lower().endswith(".json")]
    sidecars = pair(tree.audio, [*tree.texts, *is_json])
    used: list[str] = []
    without: list[str] = []
    for name in tree.audio:
        located = root.locate(name)
        row = Row(located.name, ("",), {}, None, str(located.path))
        sidecar = sidecars.of.get(name)
        if sidecar is not None:
            try:
                read = read_sidecar(root, located.name, sidecar)
            except UserError as error:
                fault = located.fault or Fault("unreadable", str(error))
                located = located._replace(fault=fault)
            else:
                row = read or row
                (used if read else without).append(sidecar)
        metadata.located[located.name] = located
        metadata.rows.append(row)
    others = [n for n in tree.tables if n not in is_json or n in sidecars.unused]
    texts = [n for n in sidecars.unused if n not in others]
    if used:
        texts_read = "one text" if len({*used}) == 1 else f"{len({*used})} texts"
        metadata.taken.append(f"captions are those of {texts_read} beside the clips")
    if texts:
        metadata.unused.append(f"{listed(texts)}: no clip of the same name lies beside")
    if without:
        metadata.unused.append(
            f"{listed(without)}: no field of it is plainly the caption"
        )
    readable = [n for n in others if os.path.splitext(n)[1].lower() in FORMS]
    if readable:
        several = "put their rows into one, and " if len(readable) > 1 else ""
        path = printable(str(root.path / readable[0]))
        metadata.unused.append(
            f"{listed(readable)}: captions are read from {_METADATA}: {several}"
            f"rename it, or name the file: folder:{path}"
        )
    if foreign := [name for name in others if name not in readable]:
        metadata.unused.append(
            f"{listed(foreign)}: no captions are read from such a file: write them "
            f"into a metadata.csv, or a .txt beside each clip"
        )
    return metadata


def _merged(metadata: _Metadata, splits: list[str]) -> tuple[list[Entry], list[str]]:
    """One entry a clip, of all its rows; and the attributes that differ among them."""
    rows: dict[str, list[tuple[Row, str]]] = {}
    for row, split in zip(metadata.rows, splits, strict=True):
        rows.setdefault(row.file_name, []).append((row, split))
    entries = []
    differing: dict[str, None] = {}
    for name, mine in sorted(rows.items()):
        (first, split), *others = mine
        attributes = dict(first.attributes)
        for other, its_split in others:
            if its_split != split:
                raise UserError(
                    f"{other.where}: {name!r} is of the split {its_split!r}, but of "
                    f"{split!r} at {first.where}: give it one"
                )
            for key in attributes.keys() | other.attributes.keys():
                if first.attributes.get(key) != other.attributes.get(key):
                    attributes.pop(key, None)
                    differing[key] = None
        captions = without_blanks(text for row, _ in mine for text in row.captions)
        located = metadata.located[name]
        entries.append(
            Entry(
                name=name,
                path=located.path,
                captions=captions,
                attributes=attributes,
                split=split,
                where=first.where,
                fault=located.fault,
            )
        )
    return entries, [*differing]
