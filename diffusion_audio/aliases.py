"""Shared type names, and the axis alphabet that docstrings use.

Axis letters: B batch, T time frames, F mel bands or frequency bins, C channels,
L tokens, N samples. ``[B, T, F, C]`` in a comment is the shape of that line.
"""

from collections.abc import Callable
from typing import Any

import jax

Array = jax.Array
Key = jax.Array
Params = dict[str, Any]
Batch = dict[str, Any]
State = dict[str, Any]
Metrics = dict[str, Array]
Apply = Callable[..., Any]
