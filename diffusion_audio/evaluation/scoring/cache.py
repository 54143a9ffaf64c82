"""What networks heard of files, kept on disk by content: never stale.

One SQLite file. An entry is found by what the file's bytes are, what was done to them
and the network's weights; its name, place and date do not count. So that a second run
need not read every byte, the hash of a file's bytes is kept beside its size, inode and
times, as git does, and as there not where it changed within the last seconds: its times
may then stay as they are when it changes again.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.audio.raw import open_raw
from diffusion_audio.errors import UserError
from diffusion_audio.runs.code_hash import code_hash

# What decodes, treats and hears; what it heard before it changed is not used.
CODE = ("audio.files", "evaluation.treatment", "systems.metric_network")
UNSETTLED = 2.0  # s in which a file may change without its times
COMMIT = 256  # entries written at once
PATIENCE = 60.0  # s to wait for another program that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT, content TEXT);
CREATE TABLE IF NOT EXISTS heard (
    space TEXT, content TEXT, windows INTEGER, embedding BLOB, logits BLOB,
    PRIMARY KEY (space, content));
"""


class Entry(NamedTuple):
    """What a network heard of a file.

    Attributes:
        embedding: float32 [E, D].
        logits: float32 [E, K], or None.
    """

    embedding: np.ndarray
    logits: np.ndarray | None


def space_of(encoder: str, weights: str, treatment: dict[str, Any]) -> str:
    """Names the entries of one network and one treatment.

    Args:
        encoder: the network with its settings, in words.
        weights: hash of its parameters.
        treatment: settings, JSON values.
    """
    parts = [code_hash(*CODE), encoder, weights, treatment]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Cache:
    """The file of the cache, open; a context manager, of one thread.

    Args:
        folder: where it lies; made if need be.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / "heard.sqlite"
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self._path, timeout=PATIENCE)
            self._base.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"the cache {self._path} cannot be used ({error}); remove it, or give "
                "another folder by --cache"
            ) from error

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        self._base.close()

    def flush(self) -> None:
        """Writes what waits, so that others who use the cache wait no longer for it."""
        with self._base:
            for statement, values in self._waiting:
                self._base.execute(statement, values)
        self._waiting.clear()

    def known(self, path: Path) -> str | None:
        """The content's hash of a file, if it is as it was when that was made."""
        self.flush()
        row = self._base.execute(
            "SELECT stamp, content FROM files WHERE path = ?", (_name(path),)
        ).fetchone()
        return row[1] if row and row[0] == stamp(path) else None

    def remember(self, path: Path, content: str, stamped: str) -> None:
        """Keeps the hash of a file's content.

        Args:
            path: of the file.
            content: of `content_hash`.
            stamped: its `stamp` from before it was read; empty to keep nothing.
        """
        if stamped:
            self._write(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                (_name(path), stamped, content),
            )

    def missing(self, space: str, contents: Collection[str]) -> set[str]:
        """Those contents of which a space has no entry."""
        self.flush()
        there = self._base.execute(
            "SELECT content FROM heard WHERE space = ?", (space,)
        )
        return set(contents) - {row[0] for row in there}

    def keep(self, space: str, content: str, entry: Entry) -> None:
        """Writes an entry."""
        logits = None if entry.logits is None else _bytes(entry.logits)
        self._write(
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?)",
            (space, content, len(entry.embedding), _bytes(entry.embedding), logits),
        )

    def windows(self, space: str, contents: list[str]) -> list[int]:
        """How many windows the entries of contents have, in order."""
        self.flush()
        rows = self._base.execute(
            "SELECT content, windows FROM heard WHERE space = ?", (space,)
        )
        counts = dict(rows.fetchall())
        return [counts[content] for content in contents]

    def entries(self, space: str, contents: list[str]) -> Iterator[Entry]:
        """The entries of contents, in order."""
        self.flush()
        for content in contents:
            count, embedding, logits = self._base.execute(
                "SELECT windows, embedding, logits FROM heard "
                "WHERE space = ? AND content = ?",
                (space, content),
            ).fetchone()
            yield Entry(
                _array(embedding, count),
                None if logits is None else _array(logits, count),
            )

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._waiting.append((statement, values))
        if len(self._waiting) >= COMMIT:
            self.flush()


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        AudioFileError: it cannot be opened, is no regular file, or is empty.
    """
    digest = hashlib.sha256()
    with open_raw(path) as (data, _):
        for start in range(0, len(data), 1 << 20):
            digest.update(data[start : start + (1 << 20)])
    return digest.hexdigest()


def stamp(path: Path) -> str:
    """What changes when a file does; empty if it may change without, or is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if time.time() - max(found.st_mtime, found.st_ctime) < UNSETTLED:
        return ""
    times = found.st_mtime_ns, found.st_ctime_ns
    return json.dumps([found.st_dev, found.st_ino, found.st_size, *times])


def _name(path: Path) -> str:
    """A path as text that SQLite takes."""
    return os.fsencode(os.path.abspath(path)).hex()


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, "<f4").tobytes()


def _array(data: bytes, rows: int) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(rows, -1)
