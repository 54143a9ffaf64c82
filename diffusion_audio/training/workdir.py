"""A run on disk: its resolved config and where its numbers came from.

The config is JSON and is read as JSON; a ``.py`` found beside a checkpoint is
never executed.
"""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from diffusion_audio.errors import UserError

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")

CONFIG = "config.json"

# What may change when a run goes on: its length, and what changes no numbers.
FREE_TO_CHANGE = (
    "train.steps",
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.keep",
    "parallel.",
)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON; see `write_text`."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        UserError: it is not valid JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(
            f"{path} is damaged: expected a JSON object, not {type(value).__name__}; "
            "restore it from a copy"
        )
    return value


def config_hash(config: Mapping[str, Any]) -> str:
    """Short hash of a resolved config."""
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_config(workdir: str | Path) -> dict[str, Any]:
    """The resolved config of a run.

    Raises:
        UserError: the directory is not that of a run.
    """
    path = Path(workdir) / CONFIG
    if not path.is_file():
        raise UserError(
            f"{workdir} is not a run: expected {path}; give the --workdir of a "
            "training run"
        )
    return read_json(path)


def claim(workdir: Path, config: dict[str, Any]) -> None:
    """Makes a work directory for a config, or checks that it is this config's.

    Raises:
        UserError: the directory holds a run of another config.
    """
    require_free(workdir, config)
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / CONFIG, config)


def require_free(workdir: Path, config: dict[str, Any]) -> None:
    """Refuses a work directory that holds a run of another config; writes nothing.

    Raises:
        UserError: naming what differs.
    """
    config = json.loads(json.dumps(config))
    if (workdir / CONFIG).exists():
        changed = [
            line
            for line in differences(read_config(workdir), config)
            if not line.startswith(FREE_TO_CHANGE)
        ]
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise UserError(
                f"{workdir} holds a run of another config ({'; '.join(changed[:3])}"
                f"{more}); use another --workdir or the config of that run"
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
