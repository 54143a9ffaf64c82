"""Prompts and transcripts from a file: one a line of text, or a column of a table."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from diffusion_audio.data.text import clean
from diffusion_audio.errors import UserError

Columns = tuple[str, ...]
"""Names of a column of a table: what it holds, and other words for that."""
PROMPT: Columns = ("prompt", "caption")  # the first that is there
TRANSCRIPT: Columns = ("transcript", "transcription")
TABLES = (".csv", ".tsv", ".jsonl")


def read_prompts(path: str | Path) -> list[str]:
    """The prompts of a file, in order, without those of nothing.

    Args:
        path: a ``.csv``, ``.tsv`` or ``.jsonl`` file with a column of ``PROMPT``, such
            as the metadata of a data set; any other is text with a prompt a line.

    Raises:
        UserError: it cannot be read, is not UTF-8, or has no prompt.
    """
    path = Path(path)
    return _not_empty(_texts(path, PROMPT), path, PROMPT)


def read_transcripts(path: str | Path) -> list[str]:
    """The transcripts of a file, in order: as `read_prompts`, of other columns.

    A table has one in each row, so that prompts of the same table keep theirs.

    Raises:
        UserError: as there, or a row of a table has none.
    """
    path = Path(path)
    texts = list(_texts(path, TRANSCRIPT))
    if path.suffix.lower() in TABLES and not all(map(clean, texts)):
        raise UserError(f"{path}: a row has no transcript; expected one in each")
    return _not_empty(texts, path, TRANSCRIPT)


def _not_empty(texts: Iterable[str], path: Path, columns: Columns) -> list[str]:
    found = [text.strip() for text in texts if clean(text)]
    if not found:
        raise UserError(f"{path} has no {columns[0]}; expected one a line")
    return found


def _texts(path: Path, columns: Columns) -> Iterator[str]:
    """The texts of a file, those of nothing among them."""
    if path.suffix.lower() == ".json":
        raise UserError(
            f"{path}: {columns[0]}s are read from text, one a line, or from "
            f"{', '.join(TABLES)}; not from .json"
        )
    text = _read(path)
    forms = {".csv": _table, ".tsv": _table, ".jsonl": _json_lines}
    return forms.get(path.suffix.lower(), _lines)(path, text, columns)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"{path} is no text, or UTF-16; save it as UTF-8")
    return text


def _lines(path: Path, text: str, columns: Columns) -> Iterator[str]:
    del path, columns
    yield from io.StringIO(text, newline=None)  # of any system's ends of lines


def _table(path: Path, text: str, columns: Columns) -> Iterator[str]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    file = io.StringIO(text, newline="")
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    try:
        column = _column(f"{path}, line 1", reader.fieldnames or (), columns)
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row:
                raise UserError(
                    f"{where}: more fields than columns: put a {columns[0]} that holds "
                    f"{delimiter!r} in double quotes"
                )
            yield row[column] or ""
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path, text: str, columns: Columns) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object, got {line.strip():.40}")
        value = row[_column(where, row, columns)]
        if not isinstance(value, str):
            raise UserError(
                f"{where}: expected a {columns[0]} as text, got {value!r:.60}"
            )
        yield value


def _column(where: str, names: Any, columns: Columns) -> str:
    for column in columns:
        for name in names:
            if name and name.strip().casefold() == column:
                return str(name)
    there = ", ".join(map(repr, names)) or "nothing"
    raise UserError(f"{where}: expected {' or '.join(columns)}, got {there}")
