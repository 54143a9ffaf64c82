"""Weight files of others, read in a process of their own with little to spend.

The reader runs nothing that a file holds (`data_pickle`). It is also kept apart: a
flaw in it, or a file made to exhaust it, costs that process and nothing else.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import safetensors_file, torch_file

SECONDS = 600
SPARE = 2 << 30  # bytes of memory beside a few copies of the file
MISTAKE = 2


def read(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors or PyTorch file, by dotted name.

    The content decides which it is, not the file's name.

    Raises:
        UserError: there is no such file, it is damaged, or it holds more than data.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    # After its header's length, which may begin like a pickle, safetensors has a brace.
    if start[8:] != b"{" and start.startswith((b"PK\x03\x04", b"\x80")):
        with tempfile.TemporaryDirectory() as folder:
            converted = Path(folder) / "weights.safetensors"
            _convert_apart(path, converted)
            return safetensors_file.read(converted)
    return safetensors_file.read(path)


def _convert_apart(source: Path, target: Path) -> None:
    words = [sys.executable, "-P", "-m", __name__, str(source), str(target)]
    try:
        done = subprocess.run(
            words, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{source} took more than {SECONDS} s to read") from error
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
    """Converts the file of the first word to a safetensors file, the second."""
    source, target = map(Path, words)
    _limit(source.stat().st_size)
    try:
        safetensors.numpy.save_file(torch_file.read(source), target)
    except (UserError, MemoryError, RecursionError) as error:
        text = " ".join(str(error).split()) or "asks for more memory than it may have"
        sys.stderr.write(text)
        return MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
