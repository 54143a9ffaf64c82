"""Caption files: CSV, JSON lines and AudioLDM's JSON, checked line by line."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.data.text import clean
from diffusion_audio.errors import UserError

MAX_CAPTION = 1_000  # characters
_CAPTION = re.compile(r"caption(_\d+)?")


class Row(NamedTuple):
    """One clip as a metadata file tells it; ``where`` is that file and line."""

    file_name: str
    captions: tuple[str, ...]
    attributes: dict[str, str]
    split: str | None
    where: str


def clean_caption(text: str, where: str) -> str:
    """A caption as `text.clean` makes it.

    Raises:
        UserError: if it is longer than ``MAX_CAPTION`` characters.
    """
    text = clean(text)
    if len(text) > MAX_CAPTION:
        raise UserError(
            f"{where}: a caption of {len(text)} characters, at most {MAX_CAPTION} are "
            f"allowed: shorten it"
        )
    return text


def read_rows(path: Path) -> list[Row]:
    """Every row of a metadata file; the suffix says which form it has.

    Raises:
        UserError: with file and line, for what cannot be read, a missing field, a
            field of the wrong type.
    """
    forms = {".csv": _csv, ".jsonl": _json_lines, ".json": _audioldm}
    if path.suffix not in forms:
        raise UserError(
            f"{str(path)!r}: expected a metadata file {', '.join(forms)}, or a folder"
        )
    key = "wav" if path.suffix == ".json" else "file_name"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [
                _row(where, key, fields)
                for where, fields in forms[path.suffix](path, file)
            ]
    except UnicodeDecodeError as error:
        raise UserError(f"{str(path)!r} is not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error


def _row(where: str, key: str, fields: dict[str, Any]) -> Row:
    """Check one row and sort its fields."""
    names = [key, *sorted(filter(_CAPTION.fullmatch, fields))]
    if len(names) == 1:
        raise UserError(f"{where}: no 'caption' (it has {_list(fields)})")
    texts = []
    for name in names:
        value = fields.get(name)
        if not isinstance(value, str) or (name == key and not value):
            got = "nothing" if value in (None, "") else repr(value)
            raise UserError(f"{where}: expected text as {name!r}, got {got}")
        texts.append(value)
    split = fields.get("split")
    if split is not None and (not isinstance(split, str) or not split.isidentifier()):
        raise UserError(
            f"{where}: expected a name such as 'train' as 'split', got {split!r}"
        )
    rest = {
        name: value
        for name, value in fields.items()
        if name not in (*names, "split") and isinstance(value, str)
    }
    captions = tuple(clean_caption(text, where) for text in texts[1:])
    return Row(texts[0], captions, rest, split, where)


def _csv(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(file, strict=True)
    try:
        columns = reader.fieldnames or ()
        if "file_name" not in columns or not any(map(_CAPTION.fullmatch, columns)):
            raise UserError(
                f"{path}, line 1: expected the columns 'file_name' and 'caption', got "
                f"{_list(columns)}"
            )
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if None in fields:
                raise UserError(
                    f"{where}: more fields than columns: put a caption that has commas "
                    f'in "quotes"'
                )
            yield where, fields
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _object(_parse(where, line), where)


def _audioldm(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = _object(_parse(str(path), file.read()), str(path)).get("data")
    if not isinstance(rows, list):
        raise UserError(
            f'{path}: expected {{"data": [{{"wav": ..., "caption": ...}}]}}'
        )
    for number, fields in enumerate(rows):
        where = f"{path}, data[{number}]"
        yield where, _object(fields, where)


def _parse(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {str(value)[:40]!r}")
    return value


def _list(names: Any) -> str:
    return ", ".join(map(repr, names)) or "nothing"
