"""One engine that turns published weights into ours and back by a table.

A table lists layers: where a layer is in our tree, what it is called in the file, and
its kind, which says what its leaves are called there and how they lie. The same table
serves both directions, so what is imported can be exported without loss.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError

Arrays = dict[str, np.ndarray]
SHOWN = 4  # names of each kind in an error
LONGEST_NAME = 160  # characters of one item of an error


class Layout(NamedTuple):
    """How an array of the file lies in ours, and back."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


class Leaf(NamedTuple):
    """One array of a layer in the file: what follows the layer's name, and how."""

    name: str
    layout: Layout


Kind = Mapping[str, Leaf]
"""Our name of a leaf -> what it is in the file."""


class Layer(NamedTuple):
    """One layer: its path in our tree, its name in the file, its kind.

    Both are empty for the arrays that lie under no layer.
    """

    ours: str
    theirs: str
    kind: Kind


def permuted(*axes: int) -> Layout:
    """The axes of the file's array in our order."""
    back = tuple(np.argsort(axes))
    return Layout(lambda x: x.transpose(axes), lambda x: x.transpose(back))


SAME = Layout(lambda x: x, lambda x: x)


def import_params(
    table: Iterable[Layer], source: Mapping[str, np.ndarray], like: Params, whose: str
) -> Params:
    """Our parameters from those of a file.

    Args:
        table: layers of the model.
        source: arrays by their names in the file; every one must be used.
        like: abstract parameters; every leaf must be filled.
        whose: what the file is, for errors.

    Returns:
        NumPy arrays in the tree of ``like``, in its types.

    Raises:
        UserError: names what lacks, what is left over, what has another shape, and what
            is no finite floating-point number.
    """
    params: Params = {}
    missing, misshapen, wrong = [], [], []
    names = dict(_names(table, like))
    for path, (name, layout) in names.items():
        wanted = _at(like, path)
        if name not in source:
            missing.append(name)
            continue
        if source[name].dtype.kind != "f":  # whole numbers are of quantised weights
            wrong.append(f"{name} is of {source[name].dtype}, not floating point")
            continue
        try:
            array = layout.ours(source[name]) if source[name].ndim else source[name]
        except (ValueError, IndexError):  # of another rank
            array = np.empty(0)
        if array.shape != wanted.shape:
            there, expected = list(source[name].shape), list(wanted.shape)
            misshapen.append(f"{name} is {there}, which cannot be our {expected}")
            continue
        if not np.all(np.abs(array) <= np.finfo(wanted.dtype).max):  # nor NaN
            wrong.append(f"{name} has values that are no finite {wanted.dtype}")
            continue
        *parents, leaf = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = np.ascontiguousarray(array, wanted.dtype)
    unused = sorted(source.keys() - {name for name, _ in names.values()})
    faults = [
        *_fault("lacks", missing),
        *_fault("has what this model has no place for:", unused),
        *_fault("has another shape:", misshapen),
        *_fault("has what is no weight:", wrong, 1),
    ]
    if faults:
        raise UserError(
            f"{whose} {'; it '.join(faults)}; are these weights of another model or "
            "config?"
        )
    return params


def require_same(params: Params, like: Params, whose: str) -> None:
    """Refuses a tree that has other leaves, or leaves of other shapes.

    Args:
        params: arrays.
        like: abstract parameters.
        whose: what they are of, for errors.

    Raises:
        UserError: names what lacks, what is left over and what has another shape.
    """
    there, wanted = set(_paths(params)), set(_paths(like))
    faults = [
        *_fault("lacks", sorted(wanted - there)),
        *_fault("has what this model has no place for:", sorted(there - wanted)),
        *_fault(
            "has another shape:",
            [
                f"{path} is {list(shape)}, and not {list(expected)}"
                for path in sorted(there & wanted)
                if (shape := _at(params, path).shape)
                != (expected := _at(like, path).shape)
            ],
        ),
    ]
    if faults:
        raise UserError(
            f"{whose} {'; it '.join(faults)}; are these weights of another config?"
        )


def export_params(table: Iterable[Layer], params: Params) -> Arrays:
    """The arrays of a file, by its names, from our parameters."""
    return {
        name: np.ascontiguousarray(layout.theirs(np.asarray(_at(params, path))))
        for path, (name, layout) in _names(table, params).items()
    }


def file_names(table: Iterable[Layer], params: Params) -> frozenset[str]:
    """The names that a tree of (abstract) parameters has in a file."""
    return frozenset(name for name, _ in _names(table, params).values())


def _names(table: Iterable[Layer], params: Params) -> dict[str, tuple[str, Layout]]:
    """Path of every leaf -> its name in the file and its layout."""
    layers = {layer.ours: layer for layer in table}
    names = {}
    for path in _paths(params):
        where, _, leaf = path.rpartition("/")
        if where not in layers or leaf not in layers[where].kind:
            raise KeyError(f"the table has no rule for {path}")
        layer = layers[where]
        suffix, layout = layer.kind[leaf]
        name = f"{layer.theirs}.{suffix}" if layer.theirs else suffix
        names[path] = (name, layout)
    twice = [
        n for n, times in Counter(n for n, _ in names.values()).items() if times > 1
    ]
    if twice:
        raise KeyError(f"the table uses {twice[0]} more than once")
    return names


def _paths(params: Params, prefix: str = "") -> Iterator[str]:
    for name, node in params.items():
        if isinstance(node, Mapping):
            yield from _paths(dict(node), f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"


def _at(params: Params, path: str) -> Any:
    node: Any = params
    for name in path.split("/"):
        node = node[name]
    return node


def listed(names: Iterable[str], most: int = SHOWN) -> str:
    """The first names of many, each cut and printable, and how many more there are."""
    names = list(names)
    shown = ["".join(c if c.isprintable() else "?" for c in n) for n in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(n[:LONGEST_NAME] for n in shown) + more


def _fault(fault: str, names: list[str], most: int = SHOWN) -> Iterator[str]:
    if names:
        yield f"{fault} {listed(names, most)}"
