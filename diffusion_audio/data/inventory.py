"""What the clips of a folder hold, as short hashes: which of them changed since."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_BLOCK, _BLOCKS = 4096, 64  # bytes of a block, and how many are read of a long file


def clip_hash(
    path: Path | None, captions: Iterable[str], attributes: Mapping[str, str]
) -> str:
    """A hash of what a clip says and of a sample of its bytes.

    Neither where the file lies nor its times count, so a folder may be moved or copied.
    A file edited or replaced at the same size is told by its bytes: all of them up to
    256 kB, and 64 blocks spread over a longer one.

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
    """A hash of a file's size and blocks from its start to its end; empty if unread."""
    if path is None or not os.path.isfile(path):  # to open a named pipe would wait
        return b""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            hashed = hashlib.sha256(str(size).encode())
            if size <= _BLOCK * _BLOCKS:
                hashed.update(file.read(size))
                return hashed.digest()
            for block in range(_BLOCKS):
                file.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
                hashed.update(file.read(_BLOCK))
            return hashed.digest()
    except OSError:
        return b""
