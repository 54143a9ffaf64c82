"""The arrays of a checkpoint's item: values in a store, read and checked one by one.

Orbax keeps arrays as zarr (a ``.zarray`` that describes it, and its chunks) in a store
of TensorStore, OCDBT, which packs the values of many keys into few files. Orbax reads
many arrays at once, and what it reads cannot be checked without reading it again. Here
the values of one array are read, handed to a check, and decoded by TensorStore: every
byte is read once and two arrays at most are in memory besides those that are done.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from diffusion_audio.errors import UserError

_CACHED = 2**26  # bytes of the store's own tables, which every look-up needs
_OWN = ("d", "manifest.ocdbt")  # beside the folders ocdbt.process_N


class Damage(Exception):
    """What is wrong with the files of a step, in words."""


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Makes the errors of reading, which are of many kinds, `Damage` in one line."""
    try:
        yield
    # What devices say is no fault of the files, as where another process has ended.
    except (Damage, UserError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error):  # so says TensorStore of memory
            raise
        why = getattr(error, "strerror", None) or str(error).strip()
        why = (why or type(error).__name__).splitlines()[0][:300]
        raise Damage(f"{what} cannot be read ({why})") from error


def is_packed(parts: tuple[str, ...]) -> bool:
    """Whether a file of a step, ITEM/..., is one that values are packed in."""
    inside = parts[1] if len(parts) > 1 else ""
    return inside in _OWN or inside.startswith("ocdbt.process_")


def open_store(item: Path) -> ts.KvStore:
    """The store of an item's folder; an empty one where it has none."""
    spec = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{item}/"}}
    context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHED}})
    with readable(f"{item.parent.name}/{item.name}"):
        return ts.KvStore.open(spec, context=context).result()


def keys(item: Path) -> list[str]:
    """The keys of an item's store, sorted: NAME/.zarray, NAME/0.0, ..."""
    with readable(f"{item.parent.name}/{item.name}"):
        return [key.decode() for key in open_store(item).list().result()]


def read(store: ts.KvStore, key: str) -> bytes:
    """One value.

    Raises:
        Damage: there is none, or it cannot be read.
    """
    with readable(key):
        found = store.read(key).result()
    if found.state != "value":
        raise Damage(f"{key} is missing")
    return found.value


def read_array(
    store: ts.KvStore, name: str, parts: Iterable[str], check: Callable[..., None]
) -> np.ndarray:
    """One array, of checked values only.

    Args:
        store: that it lies in.
        name: of the array.
        parts: keys of its values.
        check: ``check(key, value)`` raises `Damage` where the value is not right.

    Raises:
        Damage: so it is, or a value cannot be read, or makes no array.
    """
    checked = ts.KvStore.open({"driver": "memory"}).result()
    for key in parts:
        value = read(store, key)
        check(key, value)
        checked.write(key, value).result()
    with readable(name):
        spec = {"driver": "zarr", "fill_missing_data_reads": False}
        array = ts.open(spec, kvstore=checked / f"{name}/", open=True).result()
        return array.read().result()


def describe(item: Path) -> Any:
    """The tree of an item: orbax's metadata (name, shape, dtype) for each array."""
    with readable(f"{item.parent.name}/{item.name}"):
        return ocp.PyTreeCheckpointHandler().metadata(item).tree
