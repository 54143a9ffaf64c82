"""Many rows through a function in batches of one size: bounded memory, one program."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from diffusion_audio.errors import UserError

BATCH_SIZE = 16


def in_batches(
    function: Callable[..., Any],
    *arrays: Any,
    size: int = BATCH_SIZE,
    multiple: int = 1,
) -> Iterator[Any]:
    """What a function makes of rows, ``size`` of them at a time.

    The last batch is filled with its last row, so that all are of one shape; fewer rows
    than ``size`` are one batch, filled up to the multiple. Where the function treats
    each row for itself, the result does not depend on the size.

    Args:
        function: arrays [b, ...] to a tree of arrays [b, ...].
        arrays: trees of arrays [n, ...].
        size: rows of a batch, rounded up to a multiple.
        multiple: number of devices that a batch is split over.

    Yields:
        The trees, NumPy arrays; all batches together have n rows.

    Raises:
        UserError: the size is below 1.
    """
    require_size(size)
    count = len(jax.tree.leaves(arrays)[0])
    size = -(-min(size, count) // multiple) * multiple
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        made = function(*jax.tree.map(lambda array, rows=rows: array[rows], arrays))
        here = slice(count - start)
        yield jax.tree.map(lambda x, here=here: np.asarray(x)[here], made)


def joined(
    batches: Iterable[Any], advance: Callable[[int], None] = lambda rows: None
) -> Any:
    """All batches of `in_batches` as one tree.

    Args:
        batches: one or more trees of arrays [b, ...].
        advance: called with the number of rows of each batch that is done.
    """
    parts = []
    for part in batches:
        parts.append(part)
        advance(len(jax.tree.leaves(part)[0]))
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def require_size(size: int) -> None:
    """Refuses a batch size below 1."""
    if size < 1:
        raise UserError(f"batch_size must be 1 or more, not {size}")
