"""Which fields of a row name its file, hold its captions, its split, its attributes."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from diffusion_audio.data.captions import clean_caption
from diffusion_audio.data.names import listed
from diffusion_audio.errors import UserError, shortened, unknown

FILE_NAMES = ("file_name", "wav")
OTHER_FILE_NAMES = (
    *("filename", "file", "path", "file_path", "filepath", "location"),
    *("audio", "audio_path", "audiopath", "audio_file", "audio_filename", "fname"),
    *("audio_filepath", "audio_name", "wav_path", "wav_file", "wav_filename"),
)
CAPTION = re.compile(r"captions?(_?\d+)?")
OTHER_CAPTIONS = (
    *("text", "texts", "description", "descriptions", "prompt", "prompts"),
    *("sentence", "transcription", "transcript"),
)
SPLIT = "split"


class Columns(NamedTuple):
    """The fields that are read, by the names they have in the file.

    Attributes:
        file_name: the field that names the audio file.
        captions: those that hold captions, in order.
        split: the one that holds the split; ``None`` if there is none.
        taken: how uncommon names were understood, in words; empty if none is.
        unused: fields that look like captions and are not read.
    """

    file_name: str
    captions: tuple[str, ...]
    split: str | None
    taken: str
    unused: tuple[str, ...]


class Row(NamedTuple):
    """One clip as a metadata file has it; ``where`` is that file and line."""

    file_name: str
    captions: tuple[str, ...]
    attributes: dict[str, str]
    split: str | None
    where: str


def find_columns(
    names: Iterable[str], where: str, *, file_name: bool | str = True
) -> Columns:
    """Sort the fields of a row or a table by their names.

    Case, blanks around a name and the sign between its words do not matter.

    Args:
        names: the fields there are.
        where: file and line, for messages.
        file_name: whether one must name the file; or the one that does.

    Raises:
        UserError: if there is none for the file or the caption, or the choice is not
            plain.
    """
    names = [*names]
    plain = {name: _plain(name) for name in names}
    if isinstance(file_name, str):
        if file_name not in names:
            raise unknown(f"column of {where},", file_name, names)
        files = [file_name]
    else:
        files = _choose(names, plain, FILE_NAMES, OTHER_FILE_NAMES, where)
    if not files and file_name:
        raise UserError(
            f"{where}: expected the columns 'file_name' and 'caption', got "
            f"{_list(names)}"
        )
    captions = sorted(
        (name for name in names if CAPTION.fullmatch(plain[name])),
        key=lambda name: _in_order(plain[name]),
    )
    others = [
        name
        for name in names
        if plain[name] in OTHER_CAPTIONS or "caption" in plain[name]
    ]
    if not captions:
        captions = _choose(names, plain, (), OTHER_CAPTIONS, where)
    if not captions:
        raise UserError(
            f"{where}: no 'caption' (it has {_list(names)}): call the one that is so, "
            f"or add it, empty where there is none"
        )
    splits = [name for name in names if plain[name] == SPLIT]
    said = [
        f"{name!r} is read as {role}"
        for role, chosen, common in (
            ("the file name", files, (*FILE_NAMES, file_name)),
            ("the caption", captions, ("caption", "captions")),
            ("the split", splits, (SPLIT,)),
        )
        for name in chosen
        if name not in common and not CAPTION.fullmatch(name)
    ]
    return Columns(
        files[0] if files else "",
        tuple(captions),
        splits[0] if splits else None,
        ", ".join(said),
        tuple(name for name in others if name not in captions),
    )


def read_row(where: str, columns: Columns, fields: dict[str, Any]) -> Row:
    """Check one row and sort its fields.

    Raises:
        UserError: for a field that lacks or is of the wrong type.
    """
    name = ""
    if columns.file_name:
        name = _text(where, columns.file_name, fields)
        if not name.strip():
            raise _expected_text(where, columns.file_name, "")
    captions: list[str] = []
    for column in columns.captions:
        value = fields.get(column, "")
        several = value if isinstance(value, list) else [value]
        for text in several:
            if text is None:  # JSON's word for nothing
                continue
            if not isinstance(text, str):
                raise _expected_text(where, column, text)
            captions.append(clean_caption(text, where))
    split = fields.get(columns.split) if columns.split else None
    if columns.split in fields and split is not None:
        good = isinstance(split, str) and split.strip().isidentifier()
        if not good:
            raise UserError(
                f"{where}: expected a name such as 'train' as 'split', got "
                f"{_short(split)}"
            )
        split = split.strip()
    used = (columns.file_name, *columns.captions, columns.split)
    rest = {
        field: value
        for field, value in fields.items()
        if field not in used and isinstance(value, str)
    }
    return Row(name, without_blanks(captions), rest, split, where)


def without_blanks(captions: Iterable[str]) -> tuple[str, ...]:
    """Captions, each once, without the empty ones; one empty one if none is left."""
    return tuple(dict.fromkeys(filter(None, captions))) or ("",)


def _choose(
    names: list[str],
    plain: dict[str, str],
    common: tuple[str, ...],
    others: tuple[str, ...],
    where: str,
) -> list[str]:
    """The one field of the first of two lists of names that has any."""
    for known in (*((name,) for name in common), others):
        found = [name for name in names if plain[name] in known]
        if len(found) > 1:
            plainest = common[0] if common else "caption"
            raise UserError(
                f"{where}: {listed(found)} could each be {plainest!r}: rename the one "
                f"that is to {plainest!r}"
            )
        if found:
            return found
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _in_order(name: str) -> tuple[int, str]:
    number = re.sub(r"\D", "", name)
    return int(number or 0), name


def _text(where: str, name: str, fields: dict[str, Any]) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _expected_text(where, name, value)
    return value


def _expected_text(where: str, name: str, value: Any) -> UserError:
    got = "nothing" if value in (None, "") else _short(value)
    return UserError(f"{where}: expected text as {name!r}, got {got}")


def _short(value: Any) -> str:
    return shortened(repr(value))


def _list(names: Iterable[str]) -> str:
    return shortened(", ".join(map(repr, names))) or "nothing"
