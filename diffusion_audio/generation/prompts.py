"""Prompts from a file: one a line of text, or a column of a table."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffusion_audio.data.text import clean
from diffusion_audio.errors import UserError

COLUMNS = ("prompt", "caption")  # the first that is there
TABLES = (".csv", ".tsv", ".jsonl")


def read_prompts(path: str | Path) -> list[str]:
    """The prompts of a file, in order, without those of nothing.

    Args:
        path: a ``.csv``, ``.tsv`` or ``.jsonl`` file with a column of ``COLUMNS``, such
            as the metadata of a data set; any other is text with a prompt a line.

    Raises:
        UserError: it cannot be read, is not UTF-8, or has no prompt.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        raise UserError(
            f"{path}: prompts are read from text, one a line, or from "
            f"{', '.join(TABLES)}; not from .json"
        )
    text = _read(path)
    forms = {".csv": _table, ".tsv": _table, ".jsonl": _json_lines}
    lines = forms.get(path.suffix.lower(), _lines)(path, text)
    prompts = [line.strip() for line in lines if clean(line)]
    if not prompts:
        raise UserError(f"{path} has no prompt; expected one a line")
    return prompts


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


def _lines(path: Path, text: str) -> Iterator[str]:
    yield from io.StringIO(text, newline=None)  # of any system's ends of lines


def _table(path: Path, text: str) -> Iterator[str]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    file = io.StringIO(text, newline="")
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    try:
        column = _column(f"{path}, line 1", reader.fieldnames or ())
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row:
                raise UserError(
                    f"{where}: more fields than columns: put a prompt that holds "
                    f"{delimiter!r} in double quotes"
                )
            yield row[column] or ""
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path, text: str) -> Iterator[str]:
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
        prompt = row[_column(where, row)]
        if not isinstance(prompt, str):
            raise UserError(f"{where}: expected a prompt as text, got {prompt!r:.60}")
        yield prompt


def _column(where: str, names: Any) -> str:
    for column in COLUMNS:
        for name in names:
            if name and name.strip().casefold() == column:
                return str(name)
    there = ", ".join(map(repr, names)) or "nothing"
    raise UserError(f"{where}: expected {' or '.join(COLUMNS)}, got {there}")
