"""Weight files of others, read in a process of their own with little to spend.

The reader runs nothing that a file holds (`data_pickle`). It is also kept apart: a
flaw in it, or a file made to exhaust it, costs that process and nothing else.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import safetensors_file, torch_file

SECONDS = 600
SPARE = 2 << 30  # bytes of memory beside a few copies of the file
MISTAKE = 2
SHAPES = "shapes.json"
# What people have in place of weights, by how it begins.
FORMS: dict[str, bytes | tuple[bytes, ...]] = {
    "is the page of a web site, as a failed download leaves it": (
        *(b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"),
    ),
    "is only a pointer of Git LFS (`git lfs pull` brings the file)": b"version h",
    "is compressed or an archive: unpack it": (
        *(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"(\xb5/\xfd", b"Rar!"),
    ),
    "is an HDF5 file, such as Keras writes": b"\x89HDF",
    "is a NumPy file": b"\x93NUMPY",
}


def read(path: str | Path, under: tuple[str, ...] = ("",)) -> dict[str, np.ndarray]:
    """All arrays of a safetensors or PyTorch file, by dotted name.

    The content decides which it is, not the file's name.

    Args:
        path: of the file.
        under: beginnings of the names that are wanted; all where it is not given.

    Raises:
        UserError: there is no such file, it is damaged, or it holds more than data.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # such as a pipe: it has no end
            raise UserError(f"{path} is no file; expected one of weights")
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    # After its header's length, which may begin like a pickle, safetensors has a brace.
    if start[8:] != b"{" and start.startswith((b"PK\x03\x04", b"\x80")):
        with tempfile.TemporaryDirectory() as folder:
            converted = Path(folder) / "weights.safetensors"
            _apart(path, converted, *under)
            return safetensors_file.read(converted)
    forms = (form for form, first in FORMS.items() if start.startswith(first))
    if form := next(forms, None if start else "is empty"):
        raise UserError(
            f"{path} {form}; expected a safetensors file or one that PyTorch wrote"
        )
    arrays = safetensors_file.read(path)
    return {name: array for name, array in arrays.items() if name.startswith(under)}


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a file that PyTorch wrote, by dotted name.

    Of a zip archive it reads a few kilobytes, however large that is.

    Raises:
        UserError: as `read` does, but for damage within the numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / SHAPES
        _apart(Path(path), written)
        found = json.loads(written.read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in found.items()}


def _apart(source: Path, target: Path, *under: str) -> None:
    """Has another process write a file of what another holds; see `main`."""
    words = [sys.executable, "-P", "-m", __name__, str(source), str(target), *under]
    try:
        done = subprocess.run(
            words, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{source} took more than {SECONDS} s to read") from error
    if not done.returncode:
        for line in done.stderr.splitlines():
            logging.info("%s: %s", source, line)
    if done.returncode == MISTAKE:
        raise UserError(f"{source} {done.stderr.strip()}")
    if done.returncode:
        raise UserError(
            f"{source} could not be read: the reader was stopped (exit code "
            f"{done.returncode}), as by a file that asks for too much"
        )


def _limit(size: int) -> None:
    """Memory, time and files that this process may use from here on."""
    for what, most in (
        (resource.RLIMIT_AS, 6 * size + SPARE),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 4 * size + (1 << 20)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main(words: list[str]) -> int:
    """Converts the file of the first word to a safetensors file, the second.

    Of the names that begin with one of the other words. Where the second ends in
    ``SHAPES``, to that.
    """
    source, target = map(Path, words[:2])
    _limit(source.stat().st_size)
    said: list[str] = []
    try:
        if target.name == SHAPES:
            text = json.dumps(torch_file.shapes(source))
            target.write_text(text, encoding="utf-8")
        else:
            arrays = torch_file.read(source, said.append, tuple(words[2:]))
            safetensors.numpy.save_file(arrays, target)
    except (UserError, MemoryError, RecursionError) as error:
        text = " ".join(str(error).split()) or "asks for more memory than it may have"
        sys.stderr.write(text)
        return MISTAKE
    sys.stderr.writelines(f"{' '.join(line.split())}\n" for line in said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
