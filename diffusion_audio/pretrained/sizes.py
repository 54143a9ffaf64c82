"""Sizes in a config of ours that was edited: none that no network has."""

from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.scheduler_config import MOST_STEPS
from diffusion_audio.pretrained.transformers_config import DEEPEST, LARGEST

MOST = {"depth": DEEPEST, "depths": DEEPEST, "blocks": DEEPEST, "steps": MOST_STEPS}


def require_sizes(value: Any, name: str, path: Path) -> None:
    """Refuses numbers that no network has: one would be built before it is missed.

    Args:
        value: of a config, and all within it.
        name: what it is called there.
        path: of the config, for messages.

    Raises:
        UserError: a whole number is below 0 or far too large.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            require_sizes(item, key, path)
    elif isinstance(value, list):
        for item in value:
            require_sizes(item, name, path)
    elif type(value) is int:
        most = MOST.get(name, LARGEST)
        if not 0 <= value <= most:
            raise UserError(
                f"{path}: {name} is {shortened(str(value))}; expected a whole number "
                f"up to {most}"
            )
