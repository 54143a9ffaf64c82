"""A config.json, of a run or of others: read as a JSON object or refused in a line."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, shortened

LARGEST = 1 << 20  # bytes
DEEPEST = 32  # lists and objects in each other
# Keys of a published config that name code to run in place of what is known.
REMOTE_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")


def read(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The object that a file of JSON holds.

    Args:
        path: of the file.
        largest: bytes that it may have.

    Raises:
        UserError: there is no such file, or it is a directory, too large, not UTF-8,
            not JSON or no object.
    """
    config = read_value(path, largest)
    if not isinstance(config, dict):
        raise UserError(
            f"{path} is no config: expected a JSON object, not {type(config).__name__}"
        )
    return config


def read_value(path: Path, largest: int = LARGEST) -> Any:
    """The value that a file of JSON holds, of any type.

    Raises:
        UserError: as of `read`, but that it may be no object.
    """
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # would be waited for
            raise UserError(f"{path} is a pipe; expected a JSON file")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a JSON file") from error
    if len(content) > largest:
        raise UserError(f"{path} is too large for what it is: above {largest} bytes")
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{path} is not valid JSON: {text}") from error
    if _deeper(value, DEEPEST):
        raise UserError(f"{path} is no config: it is nested deeper than {DEEPEST}")
    return value


def refuse_code(config: Mapping[str, Any], whose: str, kind: str = "model") -> None:
    """Refuses a published config that asks for code of its own.

    Args:
        config: what the file holds.
        whose: the file's name, for messages.
        kind: of thing that is expected there.

    Raises:
        UserError: it does.
    """
    for name in REMOTE_CODE:
        if config.get(name):
            raise UserError(
                f"{whose} asks for code of its own ({name} is "
                f"{shortened(repr(config[name]))}), which is never run; expected "
                f"a {kind} whose code is known"
            )


def _deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects lie in each other more often than that."""
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (
        depth == 0 or any(_deeper(item, depth - 1) for item in value)
    )
