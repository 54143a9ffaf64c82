"""What the clips of a folder hold, as short hashes: which of them changed since."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_BLOCK = 4096  # bytes read at the start, the middle and the end of a file


def clip_hash(
    path: Path | None, captions: Iterable[str], attributes: Mapping[str, str]
) -> str:
    """A hash of what a clip says and of a sample of its bytes.

    Neither where the file lies nor its times count, so a folder may be moved or copied.
    A file replaced by another of the same size is told by its bytes, of which some 12
    kB are read.

    Args:
        path: its file; ``None`` if it has none that may be opened.
        captions: all of them, in order.
        attributes: what else is known of it.

    Returns:
        16 hexadecimal digits; a file that cannot be read has a hash too.
    """
    hashed = hashlib.sha256(json.dumps([*captions]).encode())
    hashed.update(json.dumps(sorted(attributes.items())).encode())
    hashed.update(_sample(path))
    return hashed.hexdigest()[:16]


def inventory_hash(inventory: Mapping[str, str]) -> str:
    """One hash of a whole inventory: 16 hexadecimal digits."""
    text = json.dumps(sorted(inventory.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sample(path: Path | None) -> bytes:
    """The size of a file and three blocks of it; empty if it cannot be read."""
    if path is None or not os.path.isfile(path):  # to open a named pipe would wait
        return b""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            sample = str(size).encode()
            for start in (0, size // 2, max(0, size - _BLOCK)):
                file.seek(start)
                sample += file.read(_BLOCK)
            return sample
    except OSError:
        return b""
