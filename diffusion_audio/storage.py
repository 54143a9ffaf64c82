"""Files that are whole: a reader finds the old one or the new one, never a part."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SEAL = "sha256"  # the key of a JSON object's own sum


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to in place of ``path``, which gets the file at the end.

    What is written is on the disk before it gets its name, so a machine that loses its
    power leaves no part either. Where writing fails, is stopped or raises, the old file
    stays and nothing of the new one.

    Args:
        path: of the file; its directory must exist.

    Yields:
        The path of an empty file beside it.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    path = Path(path)
    # Hidden, and no longer than names can be, whatever the file's own name is.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch()  # says why not, where a library that writes does not
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file, whole or not at all; text as UTF-8.

    Raises:
        OSError: it cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the SHA-256 sum of all else in it, which tells damage."""
    return {**value, SEAL: _sum(value)}


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """What `sealed` was given.

    Raises:
        ValueError: the object is not as it was sealed, or never was.
    """
    content = {name: part for name, part in value.items() if name != SEAL}
    if SEAL not in value:
        raise ValueError(f"it has no {SEAL}")
    if value[SEAL] != _sum(content):
        raise ValueError(f"its {SEAL} differs")
    return content


def _sum(value: Mapping[str, Any]) -> str:
    # As it will be read: JSON knows no tuples, and no keys but text.
    plain = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
