"""A run on disk: its resolved config and where its numbers came from.

The config is JSON and is read as JSON; a ``.py`` found beside a checkpoint is
never executed.
"""

import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import config_file, published
from diffusion_audio.runs import side_files
from diffusion_audio.runs.numerics import settings_of_numbers
from diffusion_audio.storage import write_whole
from diffusion_audio.systems import outside

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")

CONFIG = "config.json"


def to_json(value: Any) -> str:
    """JSON to be read by people: each array of numbers on a line of its own."""
    text = json.dumps(value, indent=2, sort_keys=True)
    # No string has a line break in JSON, so what spans lines is layout.
    return re.sub(r"\[\n[^\"\[\]{}]*\n *\]", _on_one_line, text) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all."""
    write_whole(path, to_json(value))


def _on_one_line(array: re.Match[str]) -> str:
    return re.sub(r"\n *", " ", array[0]).replace("[ ", "[").replace(" ]", "]")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        UserError: it is not valid JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON: {error}; restore it from a copy"
        ) from error
    if not isinstance(value, dict):
        raise UserError(
            f"{path} is damaged: expected a JSON object, not {type(value).__name__}; "
            "restore it from a copy"
        )
    return value


def read_config(workdir: str | Path) -> dict[str, Any]:
    """The resolved config of a run, or of a folder of converted weights.

    Raises:
        UserError: the directory is neither; what `convert` can make one is said. Or
            the config is damaged.
    """
    workdir = Path(workdir)
    path = workdir / CONFIG
    if not path.exists():
        raise published.refusal(workdir, None)
    side_files.require(workdir, CONFIG)
    config = config_file.read(path)
    # Ours spells out an AudioSpec, whatever its task is: one may be of one's own.
    audio = config.get("audio")
    known = isinstance(audio, dict) and "sample_rate" in audio
    if not known or not isinstance(config.get("task"), str):
        raise published.refusal(workdir, config)
    return config


def require_part(
    config: Mapping[str, Any], directory: str | Path, name: str, needs: str
) -> None:
    """Refuses a run whose config has no part of a kind.

    Args:
        config: what `read_config` gave.
        directory: where it was read.
        name: of the config's group: ``denoiser``, ``vocoder``, ``classifier``.
        needs: what is wanted, for the message: ``"text to audio needs one with"``.

    Raises:
        UserError: there is no such group.
    """
    if not isinstance(config.get(name), dict):
        raise UserError(
            f"{directory} is a run of task {config['task']!r}; {needs} a {name}"
        )


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What differs between two trees of JSON values, one line a value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name), new.get(name), f"{path}{name}.")
    elif old != new:
        yield f"{path.rstrip('.')}: {old!r} there, {new!r} here"


def provenance(command: list[str] | None = None) -> dict[str, Any]:
    """Commit, versions, device and command of what runs now."""
    return {
        "command": " ".join(command if command is not None else sys.argv),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": _dirty_hash(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "devices": [str(device.device_kind) for device in jax.devices()],
        "processor": _processor(),
        **settings_of_numbers(),
        "parts": outside.record(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _git(*arguments: str) -> str:
    """What git says of the code's own repository; empty where it is none."""
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a diff holds what files hold
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _dirty_hash() -> str:
    """Short hash of uncommitted changes of code and recipes; empty without any."""
    changes = _git("diff", "HEAD", "--", ":/diffusion_audio", ":/configs")
    return hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
