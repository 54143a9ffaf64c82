"""Files beside the checkpoints that a run is nothing without, with their sums.

``files.json`` has the SHA-256 sums of the resolved config, of the inventory of the data
and of the extras. Who reads one of them has it checked; so a flipped bit in a config or
a tokenizer is told, and never trained on. A run without ``files.json`` is of an earlier
version, or has lost it: its files are taken as they are.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.storage import sealed, unsealed, write_whole

FILES = "files.json"

_Sums = dict[str, list[str]]


def write(workdir: Path, files: Mapping[str, str]) -> None:
    """Writes the side files of a run, text by path, and their sums.

    A process that is killed meanwhile leaves each file as it was or as it is to be, and
    sums that fit both.
    """
    sums = {name: _sum(text.encode()) for name, text in files.items()}
    here = {name: workdir / name for name in files if (workdir / name).is_file()}
    if here and not (workdir / FILES).exists():
        logging.warning(
            "%s has no %s (it is of an earlier version, or lost it): its config and "
            "what belongs to it were not checked; from now on they are",
            workdir,
            FILES,
        )
    now = {name: _sum(path.read_bytes()) for name, path in here.items()}
    either = {n: sorted({sum_, now.get(n, sum_)}) for n, sum_ in sums.items()}
    _write_sums(workdir, either)
    for name, text in files.items():
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(workdir / name, text)
    _write_sums(workdir, {name: [sum_] for name, sum_ in sums.items()})


def names(workdir: Path, folder: str) -> list[str]:
    """The side files in one folder of a run, as paths in it, whether there or lost."""
    root = workdir / folder
    found = {
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
    }
    start = f"{folder}/"
    sums = _read_sums(workdir)
    return sorted(
        found | {name.removeprefix(start) for name in sums if name.startswith(start)}
    )


def require(workdir: Path, name: str) -> None:
    """Refuses a side file that is not what the run wrote.

    One that cannot be read is left to who reads it.

    Raises:
        UserError: it is damaged, or the sums are.
    """
    sums = _read_sums(workdir)
    try:
        content = (workdir / name).read_bytes() if name in sums else b""
    except OSError:
        return
    if name in sums and _sum(content) not in sums[name]:
        raise UserError(
            f"{workdir / name} is not what this run wrote (SHA-256 differs): restore "
            f"it from a copy; if it was changed on purpose, delete {workdir / FILES}"
        )


def _read_sums(workdir: Path) -> _Sums:
    """Sums that each file may have; none where the run keeps none."""
    path = workdir / FILES
    try:
        sums = unsealed(json.loads(path.read_text(encoding="utf-8")))["files"]
        for name in sums:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name!r} lies outside of the run")
        return {str(name): [*map(str, good)] for name, good in sums.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}), and with it what tells whether the run's "
            "config and tokenizers are whole: restore it from a copy, or delete it to "
            "take them as they are"
        ) from error


def _write_sums(workdir: Path, sums: _Sums) -> None:
    text = json.dumps(sealed({"files": sums}), indent=1)
    write_whole(workdir / FILES, text + "\n")


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
