"""What stands beside tensors in a checkpoint, as plain data.

A file of a training run holds options, counters, states of random generators and
NumPy numbers. Each pure constructor here stands for one that such pickles call, makes
data of its arguments and touches nothing else. What is of no use becomes `Opaque`.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from diffusion_audio.pretrained.data_pickle import Name, Opaque

NUMBERS = re.compile(r"[iuf][1248]|b1")


class Type:
    """A NumPy type: its code, and the byte order that a pickle sets afterwards."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "|"

    def set_state(self, state: Any) -> None:
        """Takes NumPy's (version, byte order, ...)."""
        self.order = state[1]

    def read(self, content: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        """An array of bytes; None where the type is not of plain numbers."""
        if not NUMBERS.fullmatch(self.code):
            return None
        if self.order not in ("<", ">", "|", "="):
            raise ValueError("byte order")
        kind = np.dtype(f"{self.order}{self.code}")
        if isinstance(content, str):  # a pickle of Python 2
            content = content.encode("latin1")
        if len(content) != math.prod(shape) * kind.itemsize:
            raise ValueError("length")
        array = np.frombuffer(content, kind).reshape(shape)
        return array.astype(kind.newbyteorder("="))


class Array:
    """A NumPy array: made empty, then given its numbers, as NumPy's pickles do.

    Attributes:
        value: the array; None where it is not of plain numbers.
    """

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def set_state(self, state: Any) -> None:
        """Takes NumPy's (version, shape, type, whether columns come first, bytes)."""
        *_, shape, kind, columns_first, content = state
        if columns_first:
            value = kind.read(content, tuple(reversed(shape)))
            self.value = None if value is None else value.T
        else:
            self.value = kind.read(content, tuple(shape))


def _scalar(kind: Type, content: Any = None) -> Array:
    return Array(None if content is None else kind.read(content, ()))


def _from_buffer(content: Any, kind: Type, shape: Any, order: str) -> Array:
    array = Array()
    array.set_state((shape, kind, order == "F", content))
    return array


def _encode(text: str, codec: str) -> bytes:
    """How bytes are written where a pickle has only text."""
    if codec != "latin1":
        raise ValueError("codec")
    return text.encode(codec)


def _instance(kind: Any, *_: Any) -> Opaque:
    if not isinstance(kind, Name):
        raise TypeError("class")
    return Opaque(kind)


def _opaque(module: str, name: str) -> Callable[..., Opaque]:
    return lambda *_: Opaque(Name(module, name))


CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda items=(): dict(items),
    "collections.defaultdict": lambda _kind=None, items=(): dict(items),
    "collections.Counter": lambda items=(): dict(items),
    "collections.deque": lambda items=(), *_: list(items),
    "copyreg._reconstructor": _instance,
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",  # protocol 2 calls it for none
    "torch.Size": lambda items=(): tuple(items),
    "numpy.dtype": Type,
    **{
        f"{module}.{name}": make
        for module in ("numpy.core", "numpy._core")
        for name, make in (
            ("multiarray._reconstruct", lambda *_: Array()),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
    **{
        f"builtins.{name}": lambda items=(): list(items)
        for name in ("set", "frozenset", "list")
    },
    **{
        f"{module}.{name}": _opaque(module, name)
        for module, names in {
            "builtins": ("bytearray", "complex", "range", "xrange", "slice"),
            "decimal": ("Decimal",),
            "fractions": ("Fraction",),
            "functools": ("partial",),
            "types": ("SimpleNamespace",),
            "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
            "pathlib": ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"),
            "pathlib._local": ("PosixPath", "WindowsPath"),
            "torch": ("device",),
            "torch.serialization": ("_get_layout",),
        }.items()
        for name in names
    },
}
