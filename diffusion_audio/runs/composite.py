"""How orbax stores a state: an item for each key, not compressed."""

from typing import Any

import jax
import orbax.checkpoint as ocp

from diffusion_audio.aliases import State


def checkpointer() -> ocp.AsyncCheckpointer:
    """Saves and restores in the background."""
    # Not compressed: zstd takes 7 % off random floats, and holds a copy of the state.
    arrays = ocp.PyTreeCheckpointHandler(use_compression=False)
    registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
    registry.add(None, ocp.args.PyTreeSave, arrays)
    registry.add(None, ocp.args.PyTreeRestore, arrays)
    return ocp.AsyncCheckpointer(
        ocp.CompositeCheckpointHandler(handler_registry=registry)
    )


def save_args(state: State, data: dict[str, Any]) -> ocp.args.Composite:
    """For a save of a state and the position in the data."""
    items = {key: ocp.args.PyTreeSave(item) for key, item in _items(state).items()}
    return ocp.args.Composite(**items, data=ocp.args.JsonSave(data))


def restore_args(like: State) -> ocp.args.Composite:
    """To restore them; ``like`` has shapes and shardings."""
    items = {}
    for key, item in _items(like).items():
        arrays = ocp.checkpoint_utils.construct_restore_args(item)
        items[key] = ocp.args.PyTreeRestore(item, restore_args=arrays)
    return ocp.args.Composite(**items, data=ocp.args.JsonRestore())


def restored(found: ocp.args.Composite, like: State) -> tuple[State, dict[str, Any]]:
    """State and position in the data, of what orbax has restored."""
    state = {key: found[key][key] for key in _items(like)}
    return like | state, found["data"]


def _items(state: State) -> dict[str, State]:
    """A tree for each key that has arrays: orbax warns of an item without.

    The key is there once more, because orbax takes no bare array, as ``step`` is one.
    """
    return {key: {key: tree} for key, tree in state.items() if jax.tree.leaves(tree)}
