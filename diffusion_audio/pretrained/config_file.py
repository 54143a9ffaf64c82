"""A config.json, of a run or of others: read as a JSON object or refused in a line."""

import json
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError

LARGEST = 1 << 20  # bytes


def read(path: Path) -> dict[str, Any]:
    """The object that a file of JSON holds.

    Raises:
        UserError: there is no such file, or it is a directory, too large, not UTF-8,
            not JSON or no object.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a JSON file") from error
    if len(content) > LARGEST:
        raise UserError(f"{path} is too large for a config: above {LARGEST} bytes")
    try:
        config = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{path} is not valid JSON: {text}") from error
    if not isinstance(config, dict):
        raise UserError(
            f"{path} is no config: expected a JSON object, not {type(config).__name__}"
        )
    return config
