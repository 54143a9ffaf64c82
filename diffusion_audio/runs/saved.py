"""What one step of a run holds, read piece by piece and checked as it is read."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from diffusion_audio.aliases import State
from diffusion_audio.errors import UserError
from diffusion_audio.runs import manifest, values


class Saved(Mapping[str, Any]):
    """Shapes and dtypes saved at a step, by key of the state: no array is read.

    A key is there if it has arrays: ``"ema" in saved`` is false where no average was
    kept. ``saved["ema"]`` is a tree of `jax.ShapeDtypeStruct`, whose tuples have become
    lists, and is read only when it is asked for.

    Args:
        folder: of the step.
        path: of its manifest.

    Raises:
        Damage: there is no such step or manifest; asked for a key, that its tree is
            damaged.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder = folder
        self._sums = manifest.read(folder, path)
        self._arrays = manifest.arrays(self._sums, folder.name)
        self._trees: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, key: object) -> bool:
        return key in self._arrays

    def __getitem__(self, key: str) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._tree(key)
        )

    def read(self, like: State) -> State:
        """The arrays of some keys, each whole or a part of its tree.

        Args:
            like: shapes, dtypes (others than saved are cast to) and shardings.

        Returns:
            Arrays on their devices; beside them the host holds two or three at a time.

        Raises:
            UserError: what is asked for is missing or of another shape.
            Damage: it is not what was saved.
        """
        self.require(like)
        trees = {key: _leaves({key: self._tree(key)}) for key in like if key in self}
        stores = {key: values.open_store(self._folder / key) for key in trees}

        def array(path: Any, leaf: Any) -> jax.Array:
            key = path[0].key
            name = trees[key][_text(path)].name
            value = values.read_array(
                stores[key],
                name,
                self._arrays[key][name],
                partial(manifest.require_value, self._sums, self._folder / key),
            ).astype(leaf.dtype, copy=False)
            # Waited for, so that they do not gather in the host's memory.
            return jax.device_put(value, leaf.sharding).block_until_ready()

        return jax.tree_util.tree_map_with_path(array, like)

    def require(self, like: State, *, whole: bool = False) -> None:
        """Refuses what is not saved as it is wanted.

        Args:
            like: shapes that are wanted.
            whole: and nothing else may be saved, and all has the types that are wanted.

        Raises:
            UserError: lists arrays that are missing, of other shapes or types, or too
                many.
            Damage: a tree is damaged.
        """
        keys = [key for key in (self if whole else like) if key in self]
        saved = _leaves({key: self._tree(key) for key in keys})
        mismatches = list(_differences(saved, _leaves(like), whole))
        if mismatches:
            more = f" and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
            raise UserError(
                f"the checkpoint in {self._folder.parent.parent} is of another model: "
                f"{'; '.join(mismatches[:3])}{more}; use the config it was trained "
                "with, or a new work directory"
            )

    def _tree(self, key: str) -> Any:
        """Orbax's name, shape and dtype of each array."""
        if key not in self._trees:
            manifest.require(self._folder, self._sums, key)
            self._trees[key] = values.describe(self._folder / key)[key]
        return self._trees[key]


def _leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_text(path): leaf for path, leaf in leaves}


def _text(path: Any) -> str:
    return "/".join(jax.tree_util.keystr((key,), simple=True) for key in path)


def _differences(
    saved: Mapping[str, Any], expected: Mapping[str, Any], whole: bool
) -> Iterator[str]:
    for name in sorted(saved.keys() | expected.keys() if whole else expected):
        if name not in saved:
            yield f"{name} is missing in it"
        elif name not in expected:
            yield f"{name} is not in this model"
        elif (there := tuple(saved[name].shape)) != (here := expected[name].shape):
            yield f"{name} has shape {there}, this model's {here}"
        elif whole and saved[name].dtype != expected[name].dtype:
            yield (
                f"{name} is {saved[name].dtype}, this model's {expected[name].dtype}"
            )
