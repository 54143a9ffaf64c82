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

from diffusion_audio.errors import UserError

TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"},
    **{f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "IU" for n in (1, 2, 4, 8)},
}
BFLOAT16 = "BF16"


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name, in the order of their names.

    Raises:
        UserError: it is damaged or no such file, names a tensor twice, or has one of a
            type that is not of plain numbers, such as those of 8-bit floats.
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
    return {name: _array(path, name, tensor) for name, tensor in sorted(tensors)}


def _array(path: Path, name: str, tensor: dict[str, Any]) -> np.ndarray:
    kind, shape = tensor["dtype"], tensor["shape"]
    if kind == BFLOAT16:
        return widened(tensor["data"]).reshape(shape)
    if kind not in TYPES:
        raise UserError(
            f"{path} has {name[:80]!r} as {kind}, which is not supported; expected "
            "BF16, F16, F32 or F64"
        )
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
