"""The files of a cache of latents, each clip of them with its SHA-256 sum.

A directory of ``moments.npy``, float32 [M, H, W, 2C] (mean, then log-variance),
``sums.bin``, the sum of each clip's moments, and ``meta.json``, which says what they
were made from and vouches for the sums.
"""

import contextlib
import glob
import hashlib
import json
import math
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from diffusion_audio.data.encoding import Encoding
from diffusion_audio.errors import UserError
from diffusion_audio.storage import sealed, unsealed

_MOMENTS, _SUMS, _META = "moments.npy", "sums.bin", "meta.json"
_SUM = 32  # bytes of a SHA-256 sum


class Stored(NamedTuple):
    """What lies in the directory of a cache.

    Attributes:
        directory: of the cache.
        shape: (M, H, W, 2C).
        offset: of the first clip in the file of moments, bytes.
        sums: of all clips, one after the other.
        bad: kind and problem of each bad clip.
    """

    directory: Path
    shape: tuple[int, ...]
    offset: int
    sums: bytes
    bad: dict[int, tuple[str, str]]

    def read(self, index: int) -> np.ndarray | None:
        """The moments of a clip; None where they are not those that were stored.

        Raises:
            UserError: the cache has been removed.
        """
        # Not mapped: where a mapped file cannot be read, the process is killed.
        try:
            with (self.directory / _MOMENTS).open("rb") as file:
                file.seek(self._place(index))
                data = file.read(self._size)
        except FileNotFoundError as error:
            raise UserError(
                f"the latents in {str(self.directory)!r} were removed while they are "
                "used; start again, they will be computed again"
            ) from error
        except OSError as error:
            logging.warning("%s cannot be read: %s", self.directory, error.strerror)
            return None
        if not self._is_right(index, data):
            return None
        return np.frombuffer(data, "<f4").reshape(self.shape[1:]).copy()

    def mend(self, index: int, moments: np.ndarray) -> bool:
        """Stores moments again, if they are those that were stored."""
        data = moments.astype("<f4").tobytes()
        if not self._is_right(index, data):
            return False
        with contextlib.suppress(OSError), (self.directory / _MOMENTS).open("r+b") as f:
            f.seek(self._place(index))
            f.write(data)
        return True

    @property
    def _size(self) -> int:
        return 4 * math.prod(self.shape[1:])

    def _place(self, index: int) -> int:
        return self.offset + index * self._size

    def _is_right(self, index: int, data: bytes) -> bool:
        place = index * _SUM
        return hashlib.sha256(data).digest() == self.sums[place : place + _SUM]


def write(directory: str | Path, encoding: Encoding, meta: Mapping[str, Any]) -> None:
    """Encodes every clip of a source; the directory appears complete or not at all.

    A bad clip is remembered as such, and skipped by the pipeline as it would have
    been without a cache.

    Args:
        directory: where to; nothing is done if another process was first.
        encoding: of the clips.
        meta: what the moments depend on (audio spec, VAE, source ...); JSON values.

    Raises:
        UserError: if no clip is good, moments are not finite, or the cache cannot be
            written.
    """
    directory, source = Path(directory), encoding.source
    mine = f".{directory.name}.{socket.gethostname()}."
    temporary = directory.with_name(f"{mine}{os.getpid()}.tmp")
    bad: dict[int, tuple[str, str]] = {}
    sums, shape = bytearray(), ()
    try:
        for left in directory.parent.glob(f"{glob.escape(mine)}*.tmp"):
            if _ended(left.name.removeprefix(mine).removesuffix(".tmp")):
                shutil.rmtree(left, ignore_errors=True)  # its process was killed
        temporary.mkdir(parents=True)
        # Plain writes: a full disk is an error here, but kills a process that writes
        # through a memory map.
        with (temporary / _MOMENTS).open("wb") as file:
            for start in range(0, len(source), encoding.batch_size):
                moments, found = encoding.batch(start)
                bad |= {n: (error.kind, str(error)) for n, error in found.items()}
                if not start:
                    shape = (len(source), *moments.shape[1:])
                    _write_header(file, shape)
                for row in moments.astype("<f4"):
                    data = row.tobytes()
                    sums += hashlib.sha256(data).digest()
                    file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if len(bad) == len(source):
            raise UserError(f"{source.name} has no good clip: {bad[0][1]}")
        (temporary / _SUMS).write_bytes(sums)
        record = {
            "made_from": dict(meta),
            "bad": bad,
            "shape": shape,
            "sums": hashlib.sha256(sums).hexdigest(),
        }
        text = json.dumps(sealed(record), indent=1)
        (temporary / _META).write_text(text, encoding="utf-8")
        if not directory.exists():
            temporary.rename(directory)
    except OSError as error:
        raise UserError(
            f"cannot write the latents to {str(directory)!r}: {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read(directory: Path) -> tuple[Stored, dict[str, Any]]:
    """What a directory holds, and what that was made from.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: what the cache says of itself is damaged, or of an earlier version;
            or a KeyError, TypeError or AttributeError, as damaged JSON makes them.
    """
    record = unsealed(json.loads((directory / _META).read_text(encoding="utf-8")))
    shape = tuple(record["shape"])
    sums = (directory / _SUMS).read_bytes()
    if hashlib.sha256(sums).hexdigest() != record["sums"]:
        raise ValueError(f"{_SUMS} is not what was written")
    with (directory / _MOMENTS).open("rb") as file:
        np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
        size = os.fstat(file.fileno()).st_size
    if header != (shape, False, np.dtype("<f4")):
        raise ValueError(f"the header of {_MOMENTS} is not what was written")
    if size != offset + 4 * math.prod(shape):
        raise ValueError(f"{_MOMENTS} has {size} bytes")
    bad = {int(number): (why[0], why[1]) for number, why in record["bad"].items()}
    return Stored(directory, shape, offset, sums, bad), record["made_from"]


def _ended(process: str) -> bool:
    """Whether no other process of this machine has that number."""
    if not process.isdecimal() or int(process) == os.getpid():
        return process.isdecimal()
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user
        return False
    return False


def _write_header(file: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
