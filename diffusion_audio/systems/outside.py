"""Parts of one's own: files outside of this program that add entries to its tables.

They are read when they are named (``--parts=FILE.py``), never because a config or a run
asks for them: a config is data, and reading a run runs no code.
"""

import hashlib
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.recipe import execute

_read: dict[Path, str] = {}


def read(path: str | Path) -> None:
    """Runs a file, which adds its parts: ``denoisers.TABLE.add("mine", Entry(...))``.

    Raises:
        UserError: there is no such file, or it fails.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"--parts: no such file {str(path)!r}; give one of your own")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    try:
        execute(path)
    except UserError:
        raise
    except Exception as error:  # whatever it is, it is the file's
        raise UserError(f"--parts={path}: {type(error).__name__}: {error}") from error
    _read[path.resolve()] = digest


def record() -> dict[str, str]:
    """Short hash of each file that was read, by its name; of one name, all of them."""
    found: dict[str, str] = {}
    for path, digest in _read.items():
        before = found.get(path.name)
        found[path.name] = digest if before is None else f"{before}, {digest}"
    return found
