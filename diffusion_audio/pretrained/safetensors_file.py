"""Safetensors files: read into NumPy arrays, bfloat16 widened to float32.

The package's own reader for NumPy stops at bfloat16, which NumPy has no type for, and
takes the last of two tensors of one name.
"""

import json
import os
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from absl import logging

from diffusion_audio.errors import UserError

TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"},
    **{f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "IU" for n in (1, 2, 4, 8)},
}
BFLOAT16 = "BF16"
LONGEST_HEADER = 100 << 20  # bytes; the package's own limit is 100 MB
# What Python's readers raise over bytes that contradict each other.
_DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(struct.error, RecursionError, OverflowError),
)


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name, in the order of their names.

    Tensors of a type that is not of plain numbers, such as those of 8-bit floats, are
    passed over, and said.

    Raises:
        UserError: it is damaged or no such file, names a tensor twice, or has none of
            plain numbers.
    """
    tensors = deserialized(content(path), path)
    others = [
        f"{name[:80]!r} as {tensor['dtype']}"
        for name, tensor in tensors
        if tensor["dtype"] not in (*TYPES, BFLOAT16)
    ]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        text = f"{others[0]}{more}, which is not supported; expected BF16, F16, F32 "
        if len(others) == len(tensors):
            raise UserError(f"{path} has {text}or F64")
        logging.info("%s: passed over %sor F64", path, text)
    return {
        name: _array(tensor)
        for name, tensor in sorted(tensors)
        if tensor["dtype"] in (*TYPES, BFLOAT16)
    }


def _array(tensor: dict[str, Any]) -> np.ndarray:
    kind, shape = tensor["dtype"], tensor["shape"]
    if kind == BFLOAT16:
        return widened(tensor["data"]).reshape(shape)
    return np.frombuffer(tensor["data"], TYPES[kind]).reshape(shape)


def widened(content: bytes | bytearray) -> np.ndarray:
    """Numbers of bfloat16 as float32 [n]; the upper halves of its bytes are theirs."""
    return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")


def content(path: Path) -> bytes:
    """The bytes of a file, once its header says of all of them what they are.

    So what is only named like one, or is sparse and large, is not read.

    Raises:
        UserError: it is damaged, no regular file, or names a tensor twice.
    """
    try:
        if not path.is_file():  # a pipe would be waited for, a device have no end
            raise UserError(f"{path} is no file; expected a safetensors file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            (length,) = struct.unpack("<Q", start)
            if length > min(LONGEST_HEADER, size - 8):
                raise ValueError(f"its header is of {length} bytes")
            header = file.read(length)
            end = _end(header, path)
            if size != 8 + length + end:
                raise ValueError(f"its header tells of {end} bytes, not of {size}")
            return b"".join((start, header, file.read()))
    except UserError:
        raise
    except (*_DAMAGE, MemoryError) as error:
        raise _refusal(path, error) from error


def deserialized(content: bytes, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The tensors of the bytes of a file, as the package has them.

    Raises:
        UserError: their header contradicts itself.
    """
    try:
        return list(safetensors.deserialize(content))
    except (safetensors.SafetensorError, *_DAMAGE, MemoryError) as error:
        raise _refusal(path, error) from error


def _end(header: bytes, path: Path) -> int:
    """Where the last tensor ends, by a header that names none twice."""
    twice: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(
            n for n, times in Counter(n for n, _ in pairs).items() if times > 1
        )
        return dict(pairs)

    tensors = json.loads(header, object_pairs_hook=note)
    if twice:  # which JSON's readers let pass
        raise UserError(f"{path} is damaged: its header says {twice[0][:80]!r} twice")
    ends = [
        tensor["data_offsets"][1]
        for name, tensor in tensors.items()
        if name != "__metadata__"
    ]
    return int(max(ends, default=0))


def _refusal(path: Path, error: BaseException) -> UserError:
    said = str(error).splitlines() or [type(error).__name__]
    return UserError(
        f"{path} is neither a whole safetensors file nor one of PyTorch: "
        f"{said[0][:200]}"
    )
