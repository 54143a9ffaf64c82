"""What networks heard of files, kept on disk by content: never stale.

One SQLite file. An entry is found by what the file's bytes are, what was done to them
and the network's weights; its name, place and date do not count. So that a second run
need not read every byte, the hash of a file's bytes is kept beside its size, inode and
times, as git does, and as there not where it changed within the last seconds: its times
may then stay as they are when it changes again. Every row has a checksum, and one that
does not have its own is as if it were not there.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from absl import logging

from diffusion_audio.audio.raw import open_raw
from diffusion_audio.errors import UserError
from diffusion_audio.runs.code_hash import code_hash

# What decodes, treats and hears; what it heard before it changed is not used.
CODE = ("audio.files", "evaluation.treatment", "systems.metric_network")
NAME = "heard.sqlite"
UNSETTLED = 2.0  # s in which a file may change without its times
COMMIT = 256  # entries written at once
PATIENCE = 60.0  # s to wait for another program that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, stamp TEXT, content TEXT, checksum INTEGER);
CREATE TABLE IF NOT EXISTS heard (
    space TEXT, content TEXT, windows INTEGER, embedding BLOB, logits BLOB,
    checksum INTEGER, PRIMARY KEY (space, content));
"""
_FILE = "SELECT stamp, content, checksum FROM files WHERE path = ?"
_HEARD = (
    "SELECT windows, embedding, logits, checksum FROM heard "
    "WHERE space = ? AND content = ?"
)

Out = TypeVar("Out")


class DamagedCache(Exception):
    """The file of a cache is no cache, or no longer."""


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

    Raises:
        DamagedCache: now, or when the context ends: the file is damaged.
        UserError: likewise: it cannot be used, or not be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / NAME
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self._path, timeout=PATIENCE)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(self._path, error) from error
        self._base.text_factory = _text  # what is damaged is for the checksum to find
        try:
            self._base.executescript(_TABLES)
            for query in (_FILE, _HEARD):
                self._base.execute(query, ("",) * query.count("?"))
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message may quote it
            self._base.close()
            raise _unusable(self._path, error) from error

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not isinstance(error, sqlite3.Error):
                self.flush()
        except sqlite3.Error as found:
            error = found
        finally:
            self._base.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(self._path, error) from error

    def flush(self) -> None:
        """Writes what waits, so that others who use the cache wait no longer for it."""
        with self._base:
            for statement, values in self._waiting:
                self._base.execute(statement, values)
        self._waiting.clear()

    def known(self, path: Path) -> str | None:
        """The content's hash of a file, if it is as it was when that was made."""
        self.flush()
        name = _name(path)
        row = self._row(_FILE, name)
        return row[1] if row and row[0] == stamp(path) else None

    def remember(self, path: Path, content: str, stamped: str) -> None:
        """Keeps the hash of a file's content.

        Args:
            path: of the file.
            content: of `content_hash`.
            stamped: its `stamp` from before it was read; empty to keep nothing.
        """
        if stamped:
            row = _name(path), stamped, content
            self._write("files", row)

    def missing(self, space: str, contents: Collection[str]) -> set[str]:
        """Those contents of which a space has no entry."""
        self.flush()
        return {each for each in contents if self._entry(space, each) is None}

    def keep(self, space: str, content: str, entry: Entry) -> None:
        """Writes an entry."""
        logits = None if entry.logits is None else _bytes(entry.logits)
        embedding = _bytes(entry.embedding)
        self._write("heard", (space, content, len(entry.embedding), embedding, logits))

    def entries(self, space: str, contents: list[str]) -> Iterator[Entry]:
        """The entries of contents, in order."""
        self.flush()
        for content in contents:
            entry = self._entry(space, content)
            if entry is None:  # it was there when it was looked for
                raise sqlite3.DatabaseError("an entry is lost")
            yield entry

    def _entry(self, space: str, content: str) -> Entry | None:
        row = self._row(_HEARD, space, content)
        if row is None:
            return None
        count, embedding, logits = row
        return Entry(
            _array(embedding, count), None if logits is None else _array(logits, count)
        )

    def _row(self, query: str, *key: str) -> tuple[Any, ...] | None:
        """The row of a key, if it is there and whole."""
        found = self._base.execute(query, key).fetchone()
        if found is None:
            return None
        *row, checksum = found
        if checksum != _checksum(*key, *row):
            logging.warning("a row of the cache %s is damaged, and made anew", NAME)
            return None
        return tuple(row)

    def _write(self, table: str, row: tuple[Any, ...]) -> None:
        """Has a row written, and its checksum at its end."""
        places = ", ".join("?" * (len(row) + 1))
        statement = f"INSERT OR REPLACE INTO {table} VALUES ({places})"
        self._waiting.append((statement, (*row, _checksum(*row))))
        if len(self._waiting) >= COMMIT:
            self.flush()


def with_cache(folder: str | Path, work: Callable[[Cache], Out]) -> Out:
    """Does work with a cache; again and with a new one, if it turns out to be damaged.

    The damaged file is kept under another name, and it is said.

    Args:
        folder: of the cache.
        work: what is done.

    Raises:
        UserError: the cache cannot be used.
    """
    path = Path(folder) / NAME
    before = _inode(path)
    try:
        with Cache(folder) as cache:
            return work(cache)
    except DamagedCache as damage:
        logging.warning("%s; all is heard anew", damage)
    if before == _inode(path):  # else another program has put a new one there
        for end in ("", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{end}", f"{path}.damaged{end}")
    with Cache(folder) as cache:
        return work(cache)


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


def _unusable(path: Path, error: Exception) -> Exception:
    """What an error of SQLite means."""
    damaged = type(error) in (sqlite3.DatabaseError, UnicodeDecodeError)
    if damaged or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return DamagedCache(f"the cache {path} is damaged ({error})")
    return UserError(
        f"the cache {path} cannot be used ({error}); remove it, or give another folder "
        "by --cache"
    )


def _inode(path: Path) -> int:
    """Of a file; 0 if there is none."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_ino
    return 0


def _checksum(*values: str | bytes | int | None) -> int:
    """CRC-32 of a row."""
    found = 0
    for value in values:
        data = value if isinstance(value, bytes) else repr(value).encode()
        found = zlib.crc32(data, zlib.crc32(b"%d;" % len(data), found))
    return found


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _name(path: Path) -> str:
    """A path as text that SQLite takes."""
    return os.fsencode(os.path.abspath(path)).hex()


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, "<f4").tobytes()


def _array(data: bytes, rows: int) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(rows, -1)
