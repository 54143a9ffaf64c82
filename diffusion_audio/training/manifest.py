"""What the files of a checkpoint must be: one SHA-256 sum for each, in a JSON file."""

import hashlib
import json
import os
from pathlib import Path

from diffusion_audio.storage import write_whole


def write(step: Path, path: Path) -> None:
    """Writes the manifest of a step's folder, so that it is on the disk.

    Args:
        step: the folder; files are named from the one that it lies in.
        path: of the manifest; it appears whole.
    """
    sums = {name: _sha256(step.parent / name) for name in _files(step)}
    write_whole(path, json.dumps(sums, indent=1))
    sync(path.parent)


def damage(step: Path, path: Path) -> str:
    """What is wrong with a step's folder or its manifest; empty where nothing is."""
    if not step.is_dir():
        return "its files are missing"
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "its manifest is missing"
    except (OSError, ValueError, RecursionError) as error:
        return f"its manifest cannot be read ({error})"
    if not isinstance(sums, dict):
        return "its manifest is no table of files and sums"
    # Names are compared with those found, so that none leads out of the folder.
    found = set(_files(step))
    if lost := sorted(sums.keys() - found):
        return f"{lost[0]} is missing"
    # Hidden ones are of file browsers and network file systems: .DS_Store, .nfs0001.
    more = [name for name in found - sums.keys() if not Path(name).name.startswith(".")]
    if more := sorted(more):
        return f"{more[0]} is not in its manifest"
    if not found:
        return "it holds no files"
    for name, expected in sums.items():
        try:
            found_sum = _sha256(step.parent / name)
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if found_sum != expected:
            return f"{name} is not what was saved (SHA-256 differs)"
    return ""


def sync(directory: Path) -> None:
    """Writes the names in a directory to the disk itself."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _files(step: Path) -> list[str]:
    return [
        path.relative_to(step.parent).as_posix()
        for path in sorted(step.rglob("*"))
        if path.is_file()
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
