"""Which clips of a folder are for training, which for validation, which for tests."""

import hashlib
import re
from collections.abc import Container, Sequence
from typing import NamedTuple

from diffusion_audio.data.columns import Row
from diffusion_audio.data.names import listed
from diffusion_audio.errors import UserError

VALIDATION_SHARE = 0.05
_ALIASES = {
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
NAMES = ("train", "validation", "test")


class Splits(NamedTuple):
    """The split of each row; what folders were taken for splits, or not, in words."""

    of_rows: list[str]
    taken: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def canonical(name: str) -> str:
    """A split by its usual name: ``val``, ``valid`` and ``dev`` are validation."""
    plain = name.casefold()
    plain = _ALIASES.get(plain, plain)
    return plain if plain in NAMES else name


def in_order(name: str) -> tuple[int, str]:
    """Sorts splits: train, validation, test, others by their names."""
    return (NAMES.index(name) if name in NAMES else len(NAMES)), name


def assign(rows: Sequence[Row], bad: Container[str] = ()) -> Splits:
    """The split of each row, whose names are relative to the folder.

    It is what the row says; else the first folder on the way to the clip that is
    called as a split is, if every clip has one; else 5 % of the clips (by a hash of
    their names, at least one that is good of two or more) are for validation.

    Args:
        rows: of all clips.
        bad: names of clips that cannot be used.

    Raises:
        UserError: if some rows have a split and others have none.
    """
    assigned = [row for row in rows if row.split is not None]
    if assigned:
        for row in rows:
            if row.split is None:
                raise UserError(
                    f"{row.where}: no split, though {assigned[0].where} has one: "
                    f"give every clip a split, or none"
                )
        return Splits([canonical(row.split or "") for row in rows])
    folders = [_of_folders(row.file_name) for row in rows]
    found = dict.fromkeys(split for split in folders if split)
    outside = [
        row.file_name
        for row, split in zip(rows, folders, strict=True)
        if split is None and row.file_name not in bad
    ]
    if found and not outside:
        taken = (f"the splits are those of the folders: {', '.join(found)}",)
        return Splits([split or next(iter(found)) for split in folders], taken)
    if found:
        unused = (
            f"folders as splits ({', '.join(found)}): there are clips outside them: "
            f"{listed(outside)}",
        )
        return Splits(_by_chance(rows, bad), unused=unused)
    return Splits(_by_chance(rows, bad), unused=_like_splits(rows))


def _like_splits(rows: Sequence[Row]) -> tuple[str, ...]:
    """Folders with a split among the words of their names, if all clips lie in such."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for part in row.file_name.split("/")[:-1]:
            words = re.findall("[a-z]+", part.casefold())
            if splits := {canonical(word) for word in words} & {*NAMES}:
                found.setdefault(part, set()).update(splits)
                break
        else:
            return ()
    if len(set().union(*found.values())) < 2:  # sounds of trains, for example
        return ()
    return (f"{listed(sorted(found))} as splits: call them {', '.join(NAMES)}",)


def columns_like_splits(rows: Sequence[Row]) -> list[str]:
    """Attributes whose values are names of splits, where no row has a split."""
    values: dict[str, set[str]] = {}
    for row in rows:
        if row.split is not None:
            return []
        for name, value in row.attributes.items():
            values.setdefault(name, set()).add(value)
    return [
        name
        for name, found in values.items()
        if len(found) > 1 and all(canonical(value) in NAMES for value in found)
    ]


def _of_folders(name: str) -> str | None:
    for part in name.split("/")[:-1]:
        if (split := canonical(part)) in NAMES:
            return split
    return None


def _by_chance(rows: Sequence[Row], bad: Container[str]) -> list[str]:
    shares = {name: _share(name) for name in {row.file_name for row in rows}}
    if len(shares) == 1:
        return ["train"] * len(rows)
    # A good one goes to validation even if chance puts none within 5 %.
    good = [share for name, share in shares.items() if name not in bad]
    bar = max(VALIDATION_SHARE, min(good or shares.values()))
    return ["validation" if shares[r.file_name] <= bar else "train" for r in rows]


def _share(name: str) -> float:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
