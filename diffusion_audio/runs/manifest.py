"""What a checkpoint must hold: a SHA-256 sum for each part, in a JSON file.

A step is a folder of items: one for each key of the state that has arrays, and the
position in the data. The values of an item's store are summed one by one and not the
files that they are packed in (see `values`), so that who reads one array checks that
array, by the bytes that it has read. All else is summed file by file. A file of the
item ``opt`` of step 12 is named ``12/opt/_METADATA``, a value ``12/opt:opt.mu.w/0.0``.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from diffusion_audio.runs import values
from diffusion_audio.runs.values import Damage
from diffusion_audio.storage import write_whole

Sums = dict[str, str]


def write(step: Path, path: Path) -> None:
    """Writes the manifest of a step's folder, so that it is on the disk.

    Args:
        step: the folder; names begin with its own.
        path: of the manifest; it appears whole.

    Raises:
        Damage: what was just saved cannot be read.
    """
    sums = {name: _sha256(step.parent / name) for name in _files(step)}
    for item in _folders(step):
        sums |= {_name(item, key): _sum(value) for key, value in _values(item)}
    write_whole(path, json.dumps(sums, indent=1))
    sync(path.parent)


def content_hash(directory: Path, step: int | None = None) -> str:
    """Short hash of a checkpoint of a run, by its manifest; empty without it.

    Args:
        directory: of the checkpoints.
        step: of which; the newest where None.
    """
    manifests = (directory / "manifests").glob("*.json")
    steps = {
        int(path.stem) for path in manifests if path.stem.isdecimal() and path.is_file()
    }
    step = max(steps, default=0) if step is None else step
    if step not in steps:
        return ""
    chosen = (directory / "manifests" / f"{step}.json").read_bytes()
    return hashlib.sha256(chosen).hexdigest()[:12]


def read(step: Path, path: Path) -> Sums:
    """The sums of a step by name.

    Raises:
        Damage: the step or its manifest is missing, or is none.
    """
    if not step.is_dir():
        raise Damage("its files are missing")
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Damage("its manifest is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Damage(f"its manifest cannot be read ({error})") from error
    if not isinstance(sums, dict):
        raise Damage("its manifest is no table of files and sums")
    return sums


def damage(step: Path, path: Path) -> str:
    """What is wrong with a step's folder or its manifest; empty where nothing is."""
    try:
        sums = read(step, path)
        require(step, sums)
        for item in _folders(step):
            for key, value in _values(item):
                require_value(sums, item, key, value)
    except Damage as found:
        return str(found)
    return ""


def require(step: Path, sums: Sums, item: str = "") -> None:
    """Checks all but the values: which of them there are, and the files beside them.

    Args:
        step: the folder.
        sums: of its manifest.
        item: the only one to look at; all of the step if empty.

    Raises:
        Damage: something is missing, was added, or is not what was saved.
    """
    # Names are compared with those found, so that none leads out of the folder.
    root = f"{step.name}/{item}"
    named = {
        name for name in sums if not item or name.startswith((f"{root}/", f"{root}:"))
    }
    files = {name for name in _files(step) if not item or name.startswith(f"{root}/")}
    folders = [step / item] if item else _folders(step)
    packed = {_name(folder, key) for folder in folders for key in values.keys(folder)}
    if lost := sorted(named - files - packed):
        raise Damage(f"{lost[0]} is missing")
    # Hidden ones are of file browsers and network file systems: .DS_Store, .nfs0001.
    more = packed | {name for name in files if not Path(name).name.startswith(".")}
    if more := more - named:
        raise Damage(f"{min(more)} is not in its manifest")
    if not named:
        raise Damage("it holds no files")
    for name in sorted(named & files):
        try:
            found = _sha256(step.parent / name)
        except OSError as error:
            raise Damage(f"{name} cannot be read ({error.strerror})") from error
        _require_same(name, found, sums)


def require_value(sums: Sums, item: Path, key: str, value: bytes) -> None:
    """Checks one value of an item, that has been read; raises `Damage`."""
    _require_same(_name(item, key), _sum(value), sums)


def arrays(sums: Sums, step: str) -> dict[str, dict[str, list[str]]]:
    """Keys of the values of each array, by item and name of the array."""
    found: dict[str, dict[str, list[str]]] = {}
    for full in sums:
        item, packed, key = full.removeprefix(f"{step}/").partition(":")
        if packed and full.startswith(f"{step}/"):
            name = key.rpartition("/")[0]
            found.setdefault(item, {}).setdefault(name, []).append(key)
    return found


def sync(directory: Path) -> None:
    """Writes the names in a directory to the disk itself."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _require_same(name: str, found: str, sums: Sums) -> None:
    if found != sums[name]:
        raise Damage(f"{name} is not what was saved (SHA-256 differs)")


def _files(step: Path) -> list[str]:
    """Files that are summed as such."""
    return [
        path.relative_to(step.parent).as_posix()
        for path in sorted(step.rglob("*"))
        if path.is_file() and not values.is_packed(path.relative_to(step).parts)
    ]


def _folders(step: Path) -> list[Path]:
    return sorted(path for path in step.iterdir() if path.is_dir())


def _values(item: Path) -> Iterator[tuple[str, bytes]]:
    store = values.open_store(item)
    for key in values.keys(item):
        yield key, values.read(store, key)


def _name(item: Path, key: str) -> str:
    return f"{item.parent.name}/{item.name}:{key}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
