"""The bytes of an audio file: opened without waiting, read by position."""

import contextlib
import os
import stat
from collections.abc import Iterator

from diffusion_audio.audio.file_error import AudioFileError

BLOCK = 1 << 16  # bytes kept from the last read


class RawFile:
    """An open file that is sliced as ``bytes`` are; memory holds one block of it.

    A file that another process cuts off meanwhile gives fewer bytes, never a fault.
    """

    def __init__(self, path: str | os.PathLike[str], descriptor: int, size: int):
        self.path = path
        self._descriptor = descriptor
        self._size = size
        self._block, self._start = b"", 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(self._size)
        if stop <= start:
            return b""
        skip = start - self._start
        if skip < 0 or stop > self._start + len(self._block):
            if stop - start > BLOCK:
                return self._read(start, stop - start)
            self._block, self._start, skip = self._read(start, BLOCK), start, 0
        return self._block[skip : skip + stop - start]

    def find(self, pattern: bytes, start: int) -> int:
        """Where ``pattern`` is first found from ``start`` on; -1 if nowhere."""
        while start < self._size:
            block = self._read(start, 16 * BLOCK)
            if len(block) < len(pattern):
                break
            place = block.find(pattern)
            if place >= 0:
                return start + place
            start += len(block) - len(pattern) + 1
        return -1

    def error(self, kind: str, problem: str) -> AudioFileError:
        """The error that names this file."""
        return AudioFileError(kind, self.path, problem)

    def _read(self, start: int, count: int) -> bytes:
        try:
            return os.pread(self._descriptor, min(count, self._size - start), start)
        except OSError as error:
            raise self.error("unreadable", error.strerror or "cannot be read") from None


class Window:
    """A part of a file as a file of its own, for libsndfile.

    Args:
        data: the whole file.
        start: first byte of the part.
        stop: end of the part.
        head: bytes that take the place of the first ones of the part.
    """

    def __init__(self, data: RawFile, start: int, stop: int, head: bytes = b""):
        self._data, self._start, self._stop, self._head = data, start, stop, head
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        base = (0, self._position, self._stop - self._start)[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """As of a file."""
        return self._position

    def read(self, count: int) -> bytes:
        """As of a file; what cannot be read is missing, and found out afterwards."""
        first = self._start + self._position
        try:
            found = self._data[first : min(first + count, self._stop)]
        except AudioFileError:
            return b""
        if self._position < len(self._head):
            mended = self._head[self._position : self._position + len(found)]
            found = mended + found[len(mended) :]
        self._position += len(found)
        return found


@contextlib.contextmanager
def open_raw(path: str | os.PathLike[str]) -> Iterator[tuple[RawFile, os.stat_result]]:
    """A regular file for reading; what is none is refused and never waited for.

    Raises:
        AudioFileError: ``"missing"``, ``"unreadable"`` or ``"empty"``.
    """
    descriptor = -1
    try:
        found = os.stat(path)
        _require_regular(path, found)
        # A pipe that takes the file's place in between must not be waited for either.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        found = os.fstat(descriptor)
        _require_regular(path, found)
        if not found.st_size:
            raise AudioFileError("empty", path, "holds no bytes")
    except AudioFileError:
        _close(descriptor)
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise AudioFileError("missing", path, _absence(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        _close(descriptor)
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioFileError(
            "unreadable", path, f"cannot be opened: {reason}"
        ) from None
    try:
        yield RawFile(path, descriptor, found.st_size), found
    finally:
        os.close(descriptor)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _absence(path: str | os.PathLike[str]) -> str:
    try:
        target = os.readlink(path)
    except OSError:
        return "no such file"
    return f"a link to {target!r}, and there is no such file"


KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _require_regular(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise AudioFileError(
            "unreadable", path, f"is {kind}; expected a regular file of audio"
        )
