"""What the processes of one run tell each other, beside the arrays of their devices.

Small values go through the key-value store that `jax.distributed` keeps in the first
process. All processes take part in all exchanges, in the same order. Where there is
one process alone, nothing is exchanged and nothing is waited for.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src import distributed  # the store has no public name; orbax takes it so too

_Made = TypeVar("_Made")

_LOOK = 500  # milliseconds that a wait cannot be interrupted
_exchanges = itertools.count()


def alone() -> bool:
    """Whether this run has one process."""
    return jax.process_count() == 1


def is_first() -> bool:
    """Whether this process is the one that writes what is written once."""
    return jax.process_index() == 0


def store() -> Any:
    """The key-value store of the processes."""
    return distributed.global_state.client


def from_first(make: Callable[[], _Made]) -> _Made:
    """What the first process makes, a JSON value; the others wait for it.

    Where it fails there, the others wait until they are ended (`training.agreement`).
    """
    if alone():
        return make()
    name = f"exchange/{next(_exchanges)}"
    if is_first():
        made = make()
        store().key_value_set(name, json.dumps(made))
        return made
    return json.loads(waited_for(name))


def of_all(value: Any) -> list[Any]:
    """The JSON values of all processes, in order; waits for them."""
    if alone():
        return [value]
    name, text = f"exchange/{next(_exchanges)}", json.dumps(value)
    store().key_value_set(f"{name}/{jax.process_index()}", text)
    if is_first():
        said = [waited_for(f"{name}/{i}") for i in range(jax.process_count())]
        store().key_value_set(f"{name}/all", f"[{','.join(said)}]")
    return json.loads(waited_for(f"{name}/all"))


class Board:
    """Notes on one thing, that all processes write and read; nobody waits for another.

    Args:
        name: of the thing.
    """

    def __init__(self, name: str) -> None:
        self._place = f"board/{name}/"

    def __setitem__(self, name: str, text: str) -> None:
        """Notes something, in the place of what was noted by that name."""
        store().key_value_set(f"{self._place}{name}", text, allow_overwrite=True)

    def pop(self, name: str, default: None = None) -> None:
        """Takes a note away."""
        store().key_value_delete(f"{self._place}{name}")
        return default

    def copy(self) -> dict[str, str]:
        """All notes, by name."""
        found = store().key_value_dir_get(self._place)
        return {name.removeprefix(self._place): text for name, text in found}


def board(name: str) -> Board | dict[str, str]:
    """Notes of all processes; where there is one alone, a dict of its own."""
    return {} if alone() else Board(name)


def after_first(make: Callable[[], _Made]) -> _Made:
    """What each process makes, the others once the first one has."""
    if is_first():
        made = make()
        of_all(None)
        return made
    of_all(None)
    return make()


def waited_for(name: str) -> str:
    """The value of a key, once there is one."""
    while True:
        try:
            return store().blocking_key_value_get(name, _LOOK)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
