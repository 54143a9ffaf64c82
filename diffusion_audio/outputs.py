"""What a command may write: never over an input, a run, or a file it did not make.

Beside what it wrote a command leaves ``.outputs.jsonl``, a line a file with its name
and SHA-256. So a command may be run again: what this program made, and nobody changed
since, is made again; any other file is only replaced where that was asked for.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from diffusion_audio.errors import UserError

RECORD = ".outputs.jsonl"
PLANNED = "planned"  # of a line that was written before its file
CONFIG, CHECKPOINTS = "config.json", "checkpoints"
RUN_PARTS = {CONFIG, CHECKPOINTS, "provenance.json", "generator.safetensors"}
"""What a training run or a folder of converted weights is known by."""


def require_writable(
    paths: Iterable[str | Path],
    *,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Refuses files that a command must not write; to be called before any work.

    Args:
        paths: every file that is to be written. Their folders may lack.
        inputs: what the command reads; not replaced even with ``overwrite``, by
            whatever name or link the output goes.
        overwrite: files that this program did not make may be replaced.

    Raises:
        UserError: naming the first that cannot or must not be written.
    """
    read = {node for path in inputs if (node := _node(path))}
    by_folder: dict[Path, list[Path]] = {}
    for path in map(Path, paths):
        by_folder.setdefault(path.parent, []).append(path)
    for folder, files in by_folder.items():
        _require_folder(folder, {path.name for path in files})
        made = _made(folder)
        for path in files:
            _require_file(path, read, made, overwrite)


def record(
    path: str | Path, verb: str, content: bytes | None = None, *, model: str = ""
) -> None:
    """Notes that a command made a file.

    Args:
        path: the file.
        verb: of the command.
        content: what is going to be written there; as it is now where None.
        model: that made it, where no index beside it says so.

    Raises:
        OSError: it cannot be noted, as on a full disk. A file that is there and was
            never noted is removed then, since nobody would know later who made it.
    """
    path = Path(path)
    digest = _digest(path) if content is None else hashlib.sha256(content).hexdigest()
    line = {"file": path.name, "sha256": digest, "verb": verb}
    if model:
        line["model"] = model
    if content is not None:
        line["when"] = PLANNED
    try:
        _append(path.parent / RECORD, json.dumps(line).encode() + b"\n")
    except OSError:
        if content is None and path.name not in _made(path.parent):
            path.unlink(missing_ok=True)
        raise


def run_around(folder: Path) -> Path | None:
    """The run among whose checkpoints a folder lies, or would; None if none."""
    folder = folder.resolve()
    for parent in folder.parents:
        kept = (parent / CHECKPOINTS).resolve()
        if (parent / CONFIG).exists() and folder.is_relative_to(kept):
            return parent
    return None


def _require_folder(folder: Path, names: set[str]) -> None:
    """Refuses a folder that is none, is read-only, or belongs to a run."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UserError(f"{there} is not a folder, so {folder} cannot be written to")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} cannot be written to; give another folder")
    _status(folder)  # a name that no folder can have
    among = any(_is_part(folder / name) for name in RUN_PARTS - names)
    holder = folder if among else run_around(folder)
    if holder is not None:
        raise UserError(
            f"{holder} holds a run or converted weights, and nothing else is written "
            f"among its files; give a folder of its own, such as {holder / 'sounds'}"
        )


def _is_part(path: Path) -> bool:
    """Whether a file or folder of such a name is there, and is that of a run."""
    if path.name != CONFIG:
        return path.exists()
    try:  # other programs have a config.json too
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"task", "audio"} <= config.keys()


def _require_file(
    path: Path,
    read: set[tuple[int, int]],
    made: dict[str, set[str]],
    overwrite: bool,
) -> None:
    """Refuses a file that is an input, a folder, or was not made here."""
    if _status(path) is None:
        return
    if _node(path) in read:
        raise UserError(
            f"{path} is read by this command, so it cannot be written too; give "
            "another place for what is made"
        )
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected the name of a file to write")
    if not overwrite and _digest(path) not in made.get(path.name, ()):
        changed = path.name in made
        why = "changed since it was made" if changed else "not made by this program"
        raise UserError(
            f"{path} is there and was {why}; give another place, or --overwrite to "
            "replace it"
        )


def _append(path: Path, line: bytes) -> None:
    """Appends a line, or nothing of it."""
    with path.open("ab", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise


def _made(folder: Path) -> dict[str, set[str]]:
    """SHA-256 sums by name of what was made in a folder.

    The last of a name counts; where that was planned, so does what it was to replace.
    """
    made: dict[str, set[str]] = {}
    try:
        text = (folder / RECORD).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return made
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            name, planned = str(entry["file"]), entry.get("when") == PLANNED
            before = made.get(name, set()) if planned else set()
            made[name] = {*before, str(entry["sha256"])}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a torn line vouches for no file
    return made


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None if it is a link or nothing to be read."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _node(path: str | Path) -> tuple[int, int] | None:
    """What a file is on the disk, whatever its name; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _status(path: Path) -> os.stat_result | None:
    """What lies at a path, a link itself and not its end; None if nothing does."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # such as a name that is too long
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
