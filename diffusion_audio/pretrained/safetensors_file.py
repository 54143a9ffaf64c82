"""Safetensors files: read into NumPy arrays, bfloat16 widened to float32.

The package's own reader for NumPy stops at bfloat16, which NumPy has no type for, and
takes the last of two tensors of one name.
"""

import json
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


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name, in the order of their names.

    Tensors of a type that is not of plain numbers, such as those of 8-bit floats, are
    passed over, and said.

    Raises:
        UserError: it is damaged or no such file, names a tensor twice, or has none of
            plain numbers.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.deserialize(content)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is neither a whole safetensors file nor one of PyTorch: "
            f"{str(error).splitlines()[0][:200]}"
        ) from error
    _require_names_once(path, content)
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


def _require_names_once(path: Path, content: bytes) -> None:
    """Refuses a header that says a name twice, which JSON's readers let pass."""
    (length,) = struct.unpack("<Q", content[:8])
    twice: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(
            n for n, times in Counter(n for n, _ in pairs).items() if times > 1
        )
        return dict(pairs)

    json.loads(content[8 : 8 + length], object_pairs_hook=note)
    if twice:
        raise UserError(f"{path} is damaged: its header says {twice[0][:80]!r} twice")
