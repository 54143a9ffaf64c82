"""Tasks for tests, made of a resolved config without data of any size."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.training import tasks
from diffusion_audio.training.task import Data, Task


class Clips:
    """What a task asks of a source before training: captions and attributes."""

    name = "clips"

    def __init__(self, captions=("a tone",), attributes=None):
        self._captions = list(captions)
        self.attributes = attributes or {}

    def captions(self):
        return self._captions


def make_task(
    config: Mapping[str, Any], source: Any = None, kept: Mapping[str, str] | None = None
) -> Task:
    """The task that a resolved config names."""
    recipe = tasks.TABLE[config["task"]]
    source = source or Clips()
    return recipe.make(recipe.configure(config), Data(source, source, kept))
