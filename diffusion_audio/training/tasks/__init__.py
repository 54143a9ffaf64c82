"""What can be trained: one task a file, each a `TaskEntry` of the table."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from diffusion_audio.systems.table import Table
from diffusion_audio.training.task import Data, Task


class TaskEntry(NamedTuple):
    """How a task is made: two functions of its module.

    Attributes:
        configure: a resolved config to the task's settings; refuses what cannot be,
            with no data and no parameters.
        make: the task of such settings for its data.
    """

    configure: Callable[[Mapping[str, Any]], Any]
    make: Callable[[Any, Data], Task]


def _of_module(module: Any) -> TaskEntry:
    return TaskEntry(module.configure, module.make)


TABLE: Table[TaskEntry] = Table("task", __name__, _of_module)
