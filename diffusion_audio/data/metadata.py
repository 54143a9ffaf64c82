"""Caption files: CSV, TSV, JSON lines and JSON, checked line by line."""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.data.columns import Columns, Row, find_columns, read_row
from diffusion_audio.data.names import listed, printable
from diffusion_audio.errors import UserError

# A line and its fields, or what is wrong with it.
_Fields = Iterator[tuple[str, dict[str, Any] | UserError]]
# Finds the columns of names; see `columns.find_columns`.
_Find = Callable[[Iterable[str], str], Columns]
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}  # the likely one first


class Table(NamedTuple):
    """What a metadata file says.

    Attributes:
        rows: one for each of its good lines; several may be of one clip.
        faults: its bad lines, and what is wrong with each.
        taken: how it was understood where that is not plain, in words.
        unused: what looks like captions in it and is not read, in words.
    """

    rows: list[Row]
    faults: dict[str, str]
    taken: tuple[str, ...]
    unused: tuple[str, ...]


def read_table(path: Path, *, key: str | None = None) -> Table:
    """Every row of a metadata file; the suffix says which form it has.

    Args:
        path: of the file.
        key: the column that names the clips; found by its name where None.

    Raises:
        UserError: with file and line, if the file cannot be read, or half of its lines
            or more are bad: without a field, or with one of the wrong type.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        raise UserError(
            f"{printable(str(path))!r}: expected a metadata file {', '.join(FORMS)}, "
            f"or a folder"
        )
    where = printable(str(path))
    find = partial(find_columns, file_name=key or True)
    known: dict[tuple[str, ...], Columns] = {}
    rows: list[Row] = []
    faults: dict[str, UserError] = {}
    for line, fields in FORMS[suffix](where, suffix, read_text(path), find):
        try:
            if isinstance(fields, UserError):
                raise fields
            names = tuple(fields)
            if names not in known:
                known[names] = find(names, line)
            rows.append(read_row(line, known[names], fields))
        except UserError as error:
            faults[line] = error
    if faults and len(faults) >= len(rows):
        more = f"; {len(faults) - 1} more lines are bad" if len(faults) > 1 else ""
        first = next(iter(faults.values()))
        raise UserError(f"{first}{more}") from first
    taken = dict.fromkeys(f"{where}: {c.taken}" for c in known.values() if c.taken)
    unused = dict.fromkeys(
        f"{listed(columns.unused)} in {where}: the captions are in "
        f"{listed(columns.captions)}"
        for columns in known.values()
        if columns.unused
    )
    said = {k: str(error).removeprefix(f"{k}: ") for k, error in faults.items()}
    return Table(rows, said, tuple(taken), tuple(unused))


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 that says so by its first bytes.

    Raises:
        UserError: if it cannot be read, or is no such text.
    """
    name = printable(str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {name!r}: {error.strerror}") from error
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name!r} is not UTF-8 text: {error.reason} in line {line}; save it as "
            f"UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"{name!r} is not UTF-8 text: it holds zeros; save it as UTF-8")
    return text


def _table(path: str, suffix: str, text: str, find: _Find) -> _Fields:
    delimiter = _delimiter(text, _DELIMITERS[suffix], find)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    needed: tuple[str, ...] = ()
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells) or _SEPARATOR.match(cells[0]):
                continue
            if not columns:
                columns, found = _header(where, cells, find)
                needed = (found.file_name, *found.captions)
                continue
            if any(cell.strip() for cell in cells[len(columns) :]):
                yield (
                    where,
                    UserError(
                        f"{where}: more fields than columns: put a caption that has "
                        f'{_SIGNS[delimiter]} in "quotes"'
                    ),
                )
                continue
            if short := [name for name in columns[len(cells) :] if name in needed]:
                yield (
                    where,
                    UserError(
                        f"{where}: expected text as {short[0]!r}, got a line of "
                        f"{len(cells)} fields for {len(columns)} columns"
                    ),
                )
                continue
            pairs = itertools.zip_longest(columns, cells)
            yield where, {name: cell for name, cell in pairs if name}
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: {error}: put a caption that has quotes "
            f'in "quotes", and write each of its own twice'
        ) from error
    if not columns:
        find([], f"{path}, line 1")


_SEPARATOR = re.compile("sep=.?$", re.IGNORECASE)  # how Excel is told the delimiter
_SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def _delimiter(text: str, likely: str, find: _Find) -> str:
    """The first delimiter with which the header has the columns that are wanted."""
    lines = (line for line in text.splitlines() if line.strip())
    header = next((line for line in lines if not _SEPARATOR.match(line.strip())), "")
    for delimiter in likely:
        try:
            find(next(csv.reader([header], delimiter=delimiter), []), "")
        except (UserError, csv.Error):
            continue
        return delimiter
    return likely[0]


def _header(where: str, cells: list[str], find: _Find) -> tuple[list[str], Columns]:
    columns = [cell.strip() for cell in cells]
    words = re.split("[,;|\t]", ",".join(columns))
    if any(word.strip().lower().endswith(SUFFIXES) for word in words):
        raise UserError(
            f"{where}: this is a clip already: put a line with the column names "
            f"above it, such as file_name,caption"
        )
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        raise UserError(
            f"{where}: {listed(sorted(twice))} is there twice; several captions are "
            f"caption_1, caption_2 ..."
        )
    return columns, find(filter(None, columns), where)


def _json_lines(path: str, suffix: str, text: str, find: _Find) -> _Fields:
    del suffix, find
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _caught(parse_object, where, line)


def _json(path: str, suffix: str, text: str, find: _Find) -> _Fields:
    """AudioLDM's ``{"data": [row, ...]}``, a list of rows, or either by file name."""
    del suffix, find
    value = _parse(path, text)
    if isinstance(value, dict) and "data" not in value and _is_by_name(value):
        for name, entry in value.items():
            fields = entry if isinstance(entry, dict) else {"caption": entry}
            yield f"{path}, {name!r}", {**fields, "file_name": name}
        return
    rows, place = value, ""
    if not isinstance(value, list):
        rows, place = _object(value, path).get("data"), "data"
    if not isinstance(rows, list):
        raise UserError(
            f'{path}: expected {{"data": [{{"wav": ..., "caption": ...}}]}}, or a list '
            f"of such rows"
        )
    for number, fields in enumerate(rows):
        where = f"{path}, {place}[{number}]"
        yield where, _caught(_object, fields, where)


FORMS = {
    ".csv": _table,
    ".tsv": _table,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}


def _caught(read: Callable[..., dict[str, Any]], *inputs: Any) -> Any:
    """What a function reads, or the mistake that it finds."""
    try:
        return read(*inputs)
    except UserError as error:
        return error


def _is_by_name(value: dict[str, Any]) -> bool:
    return bool(value) and all(name.lower().endswith(SUFFIXES) for name in value)


def parse_object(where: str, text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: if the text is none.
    """
    return _object(_parse(where, text), where)


def _parse(where: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        hint = (
            ": rows of a line each are a .jsonl" if "Extra data" in str(error) else ""
        )
        raise UserError(f"{where}: not JSON: {error}{hint}") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):  # JSON itself would keep the last in silence
        names = [name for name, _ in pairs]
        twice = [name for name in value if names.count(name) > 1]
        raise ValueError(f"{listed(twice)} is there twice")
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {str(value)[:40]!r}")
    return value
