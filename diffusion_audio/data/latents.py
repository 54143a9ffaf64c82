"""A cache of latents: what a frozen VAE makes of each clip, computed once.

A directory of ``moments.npy``, float32 [M, H, W, 2C] (mean, then log-variance), and
``meta.json``, which says what they were made from. Captions stay with the source.
"""

import glob
import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data.source import Clip, Source
from diffusion_audio.errors import UserError

_MOMENTS, _META = "moments.npy", "meta.json"


class LatentSource:
    """A source with ``moments`` [H, W, 2C] in place of its audio."""

    def __init__(
        self, source: Source, moments: np.ndarray, bad: dict[int, tuple[str, str]]
    ):
        self.name = source.name
        self.attributes = source.attributes
        self.moments = moments
        self._source = source
        self._bad = bad

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, index: int) -> Clip:
        return self._clip(index, self._source.describe(index))

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """The moments as they were stored; ``rng`` chooses the caption."""
        del samples  # decided when the cache was written
        return self._clip(index, self._source.describe(index, rng))

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its moments."""
        return self._source.describe(index, rng)

    def captions(self) -> list[str]:
        """Every caption of the source."""
        return self._source.captions()

    def fingerprint(self) -> str:
        """That of the source."""
        return self._source.fingerprint()

    def inventory(self) -> dict[str, str]:
        """That of the source."""
        return self._source.inventory()

    def _clip(self, index: int, described: Clip) -> Clip:
        if index in self._bad:
            kind, problem = self._bad[index]
            raise AudioFileError(kind, described["id"], problem)
        return {"moments": np.array(self.moments[index]), **described}


def write(
    directory: str | Path,
    source: Source,
    encode: Callable[[np.ndarray], np.ndarray],
    meta: Mapping[str, Any],
    *,
    samples: int,
    batch_size: int = 32,
) -> None:
    """Encode every clip of a source; the directory appears complete or not at all.

    A clip longer than ``samples`` is represented by one crop, chosen by its number.
    A bad clip is remembered as such, and skipped by the pipeline as it would have
    been without a cache.

    Args:
        directory: where to; nothing is done if another process was first.
        source: of clips with audio.
        encode: [batch_size, samples] to moments [batch_size, H, W, 2C], float32.
        meta: what the moments depend on (audio spec, VAE, source ...); JSON values.
        samples: length N of each clip.
        batch_size: clips encoded at a time.

    Raises:
        UserError: if no clip is good, or the cache cannot be written.
    """
    directory = Path(directory)
    mine = f".{directory.name}.{socket.gethostname()}."
    temporary = directory.with_name(f"{mine}{os.getpid()}.tmp")
    bad: dict[int, tuple[str, str]] = {}
    try:
        for left in directory.parent.glob(f"{glob.escape(mine)}*.tmp"):
            if _ended(left.name.removeprefix(mine).removesuffix(".tmp")):
                shutil.rmtree(left, ignore_errors=True)  # its process was killed
        temporary.mkdir(parents=True)
        # Plain writes: a full disk is an error here, but kills a process that writes
        # through a memory map.
        with (temporary / _MOMENTS).open("wb") as file:
            for start in range(0, len(source), batch_size):
                numbers = range(start, min(start + batch_size, len(source)))
                audio = np.zeros((batch_size, samples), np.float32)
                for row, number in enumerate(numbers):
                    rng = np.random.default_rng(number)
                    try:
                        audio[row] = source.draw(number, samples, rng)["audio"]
                    except AudioFileError as error:
                        bad[number] = (error.kind, str(error))
                moments = np.asarray(encode(audio), np.float32)[: len(numbers)]
                if start == 0:
                    _write_header(file, (len(source), *moments.shape[1:]))
                file.write(moments.tobytes())
            file.flush()
            os.fsync(file.fileno())
        if len(bad) == len(source):
            raise UserError(f"{source.name} has no good clip: {bad[0][1]}")
        record = {"made_from": dict(meta), "bad": bad}
        (temporary / _META).write_text(json.dumps(record, indent=1), encoding="utf-8")
        if not directory.exists():
            temporary.rename(directory)
    except OSError as error:
        raise UserError(
            f"cannot write the latents to {str(directory)!r}: {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open(
    directory: str | Path, source: Source, meta: Mapping[str, Any]
) -> LatentSource:
    """The cache in a directory, memory-mapped.

    Args:
        directory: that ``write`` made.
        source: the source it was made from, which has the captions.
        meta: what the moments must have been made from.

    Raises:
        UserError: listing the fields that differ, or if the cache is damaged.
    """
    directory = Path(directory)
    try:
        record = json.loads((directory / _META).read_text(encoding="utf-8"))
        made_from = record["made_from"]
        bad = {int(number): tuple(why) for number, why in record["bad"].items()}
        # Refuses pickled objects, as allow_pickle=False does, and archives too.
        moments = np.lib.format.open_memmap(directory / _MOMENTS, mode="r")
    except FileNotFoundError as error:
        raise UserError(f"no latents in {str(directory)!r}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the latents in {str(directory)!r} are damaged ({error}): delete them, "
            f"they will be computed again"
        ) from error
    wanted = json.loads(json.dumps(dict(meta))) | {"clips": len(source)}
    found = made_from | {"clips": len(moments)}
    differing = [
        f"{field}: {found.get(field)!r} != {wanted.get(field)!r}"
        for field in sorted(found.keys() | wanted.keys())
        if found.get(field) != wanted.get(field)
    ]
    if differing:
        raise UserError(
            f"the latents in {str(directory)!r} were made from something else "
            f"({'; '.join(differing)}): delete them, or choose another directory"
        )
    return LatentSource(source, moments, bad)


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
