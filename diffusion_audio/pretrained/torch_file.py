"""PyTorch's weight files, read without PyTorch and without running them.

Both formats: the zip archive of PyTorch 1.6 and later, and the older stream of pickles
in which the original HiFi-GAN was published.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import data_pickle, inert
from diffusion_audio.pretrained.data_pickle import Opaque
from diffusion_audio.pretrained.safetensors_file import widened
from diffusion_audio.pretrained.torch_tensors import (
    BFLOAT16,
    CONSTRUCTORS,
    Storage,
    Tensor,
    storage_of,
)

T = TypeVar("T")

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the older format
PROTOCOL = 1001
MOST_ENTRIES = 1 << 18
DEPTH = 16

# What Python's readers raise over a file whose bytes contradict each other.
DAMAGE = (
    *(zipfile.BadZipFile, struct.error, EOFError, OSError, RuntimeError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)

Content = Callable[[Storage], bytes]
"""Reads the numbers of a storage."""


def read(
    path: str | Path,
    pass_over: Callable[[str], None] = lambda _: None,
    under: tuple[str, ...] = ("",),
) -> dict[str, np.ndarray]:
    """All tensors, NumPy arrays and numbers of a file, nested names joined by dots.

    What else a file of training holds, such as options and texts, is passed over; so
    are tensors that are no plain numbers, but not in silence.

    Args:
        path: of the file.
        pass_over: called with which tensors are passed over, and what they are.
        under: beginnings of the names that are wanted; the rest is left unread.

    Raises:
        UserError: the file is damaged, of another format, or holds more than data.
    """
    return _opened(
        path, lambda value, content: _arrays(value, content, pass_over, under)
    )


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a file, by dotted name; no number is read of a zip.

    Raises:
        UserError: as `read` does, but for damage within the numbers.
    """
    return _opened(
        path,
        lambda value, _: {
            name: leaf.shape
            for name, leaf in _leaves(value)
            if isinstance(leaf, Tensor)
        },
    )


def _opened(path: str | Path, take: Callable[[Any, Content], T]) -> T:
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
            file.seek(0)
            open_file = _open_zip if start == b"PK\x03\x04" else _open_stream
            return open_file(file, take)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError("is cut off or damaged") from error


def _open_zip(file: BinaryIO, take: Callable[[Any, Content], T]) -> T:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        roots = [n[: -len("data.pkl")] for n in members if n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise UserError("is no file of weights: it has no single data.pkl")
        if any(name.startswith(f"{roots[0]}code/") for name in members):
            raise UserError(
                "is a TorchScript program; in PyTorch, torch.save(torch.jit.load(FILE)"
                ".state_dict(), NEW) makes a file of its weights alone"
            )

        def content(name: str) -> bytes:
            info = members.get(roots[0] + name)
            if info is None:
                raise UserError(f"lacks {name}: cut off or put together by hand")
            # Weights are stored as they are; compressed, 1 MB could be 1 GB.
            if info.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"holds {name} compressed, as PyTorch never does")
            return archive.read(info)

        if roots[0] + "byteorder" in members and content("byteorder") != b"little":
            raise UserError("was written on a big-endian machine")
        value = _unpickle(io.BytesIO(content("data.pkl")))
        return take(value, lambda s: content(f"data/{s.key}"))


def _open_stream(file: BinaryIO, take: Callable[[Any, Content], T]) -> T:
    if _unpickle(file) != MAGIC or _unpickle(file) != PROTOCOL:
        raise UserError("is no file of weights that PyTorch wrote")
    _unpickle(file)  # what machine wrote it
    sizes: dict[str, Storage] = {}

    def noted(identifier: Any) -> Any:
        found = storage_of(identifier)
        if isinstance(found, Storage):
            sizes[found.key] = found
        return found

    value = data_pickle.load(file, CONSTRUCTORS, noted)
    keys = _unpickle(file)
    blocks: dict[str, bytes] = {}
    for key in keys:
        if key not in sizes:
            raise UserError("holds numbers that belong to no tensor")
        header = file.read(8)
        if len(header) < 8 or struct.unpack("<q", header)[0] != sizes[key].size:
            raise UserError("is cut off, or its sizes contradict each other")
        blocks[key] = file.read(sizes[key].bytes)

    def content(storage: Storage) -> bytes:
        if storage.key not in blocks:
            raise UserError("is cut off: a tensor has no numbers")
        return blocks[storage.key]

    return take(value, content)


def _unpickle(stream: Any) -> Any:
    return data_pickle.load(stream, CONSTRUCTORS, storage_of)


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything in nested dictionaries and lists, by dotted name.

    Counts what it looks at: a few lists that hold each other could take for ever.
    """
    waiting, seen = [("", value, 0)], 0
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, Opaque) and value.items:
            value = value.items
        if not isinstance(value, dict | list | tuple):
            yield name, value
            continue
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        seen += len(items) + 1
        if seen > MOST_ENTRIES:
            raise UserError(f"has more than {MOST_ENTRIES} entries")
        if depth == DEPTH:
            raise UserError(f"is nested deeper than {DEPTH}")
        waiting += [
            (f"{name}.{key}" if name else str(key), item, depth + 1)
            for key, item in reversed(items)
        ]


def _arrays(
    value: Any,
    content: Content,
    pass_over: Callable[[str], None],
    under: tuple[str, ...],
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    objects = []
    others: dict[str, str] = {}  # tensors of no plain numbers, and what they are
    for name, leaf in _leaves(value):
        if not name.startswith(under):
            continue
        if isinstance(leaf, Opaque):
            if leaf.kind.module == "torch" and leaf.kind.name != "device":
                others[name] = str(leaf.kind)
            else:
                objects.append(leaf)
            continue
        if isinstance(leaf, Tensor) and leaf.storage.dtype.startswith("<c"):
            others[name] = "torch.complex"
            continue
        if name in arrays:
            raise UserError(f"has two entries of the name {name}")
        if isinstance(leaf, Tensor):
            arrays[name] = _array(leaf, content(leaf.storage))
        elif isinstance(leaf, inert.Array) and leaf.value is not None:
            arrays[name] = leaf.value
        elif isinstance(leaf, bool | float) or (
            isinstance(leaf, int) and abs(leaf) < 2**63
        ):
            arrays[name] = np.asarray(leaf)
    empty = not any(array.ndim for array in arrays.values())
    if others:
        name, kind = next(iter(others.items()))
        text = f"{name[:80]!r} of {kind[:80]}"
        text += f" and {len(others) - 1} more" if len(others) > 1 else ""
        expected = "expected float16, bfloat16, float32 or float64"
        if empty:
            raise UserError(f"has no plain tensors but {text}; {expected}")
        pass_over(f"passed over {text}; {expected}")
    if objects and empty:
        raise UserError(
            f"holds no arrays but an object of class {str(objects[0].kind)[:80]!r}, "
            "which only its own program can take apart; there, "
            "torch.save(model.state_dict(), NEW) makes a file of its weights alone"
        )
    return arrays


def _array(tensor: Tensor, content: bytes) -> np.ndarray:
    storage = tensor.storage
    if len(content) != storage.bytes:
        raise UserError(
            f"is cut off: {len(content)} bytes where a tensor needs {storage.bytes}"
        )
    if storage.dtype == BFLOAT16:
        numbers = widened(content)
    else:
        numbers = np.frombuffer(content, storage.dtype)
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.array(view, order="C")
