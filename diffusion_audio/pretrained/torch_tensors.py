"""Tensors as PyTorch's pickles make them: views of storages that are still unread."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import inert
from diffusion_audio.pretrained.data_pickle import Name, Opaque

BFLOAT16 = "bfloat16"  # no NumPy type: widened to float32
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    # Of tensors that are passed over.
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "QInt8Storage": "i1",
    "QUInt8Storage": "u1",
    "QInt32Storage": "<i4",
    "UntypedStorage": "u1",  # of types that have no storage, such as 8-bit floats
}
# Where PyTorch's types of storage are named.
MODULES = ("torch", "torch.cuda", "torch.storage")


@dataclasses.dataclass(frozen=True)
class Storage:
    """A block of numbers in the file.

    Attributes:
        key: its name there.
        dtype: NumPy's, or ``bfloat16``.
        size: how many numbers.
    """

    key: str
    dtype: str
    size: int

    @property
    def bytes(self) -> int:
        """Its length in the file."""
        return self.size * (
            2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize
        )


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage: shape and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def storage_of(identifier: Any) -> Storage | Name:
    """The storage that a persistent id stands for, or the class of a module."""
    if identifier[0] == "module" and isinstance(identifier[1], Name):
        return identifier[1]
    kind, name, key, _, size, *view = identifier
    if kind != "storage" or not isinstance(name, Name) or any(view):
        raise UserError("names a storage that is none")
    if name.module not in MODULES or name.name not in STORAGES:
        raise UserError(
            f"has a tensor of {str(name)[:80]!r}; expected float16, bfloat16, float32 "
            "or float64"
        )
    return Storage(str(key), STORAGES[name.name], _whole(size))


def _tensor(
    storage: Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> Tensor:
    """A tensor, refused where it reaches beyond its storage."""
    shape, strides = tuple(map(_whole, shape)), tuple(map(_whole, strides))
    last = _whole(offset) + sum(
        (n - 1) * s for n, s in zip(shape, strides, strict=True)
    )
    if not isinstance(storage, Storage):
        raise UserError("has a tensor without a storage")
    size = math.prod(shape)
    # Fewer numbers than elements: an expanded view, 4 bytes could be any size.
    if size > storage.size or (size and last >= storage.size):
        raise UserError(f"has a tensor of shape {list(shape)} beyond its numbers")
    return Tensor(storage, offset, shape, strides)


def _typed_tensor(function: Name, _kind: Name, arguments: Any, *_: Any) -> Any:
    """A tensor of a class derived from PyTorch's, which is left out."""
    if not str(function).startswith("torch._utils._rebuild_"):
        raise UserError(f"its pickle makes a tensor by {str(function)[:80]!r}")
    return CONSTRUCTORS[str(function)](*arguments)


def _tensor_by_type(*arguments: Any) -> Opaque:
    """PyTorch's way for the types that it has no class of storage for."""
    kinds = (a for a in arguments if isinstance(a, Name))
    return Opaque(next(kinds, Name("torch", "Tensor")))


def _no_numbers(kind: str) -> Callable[..., Opaque]:
    """What stands for tensors whose numbers are not those of a plain one."""
    return lambda *_: Opaque(Name("torch", f"{kind} tensor"))


CONSTRUCTORS: Mapping[str, Callable[..., Any]] = {
    **inert.CONSTRUCTORS,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_by_type,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch._utils._rebuild_device_tensor_from_numpy": lambda array, *_: array,
    "torch._utils._rebuild_sparse_tensor": _no_numbers("sparse"),
    "torch._utils._rebuild_qtensor": _no_numbers("quantised"),
    "torch._utils._rebuild_meta_tensor_no_storage": _no_numbers("meta"),
    "torch._tensor._rebuild_from_type_v2": _typed_tensor,
}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise UserError("has a size that is no whole number")
    return value
