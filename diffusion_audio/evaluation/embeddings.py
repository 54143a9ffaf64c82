"""What metrics of embeddings share: checks, and distances between all pairs in blocks.

Embeddings are [n, D], one row a clip or a window of one; they may be memory-mapped, and
are brought to float64 block by block.
"""

from collections.abc import Iterator

import numpy as np

from diffusion_audio.errors import UserError

ROWS = 4096  # read at a time
ENTRIES = 1 << 22  # of a block of distances


def require_embeddings(reference: np.ndarray, made: np.ndarray, least: int) -> None:
    """Refuses two sets that no distance is between.

    Args:
        reference: [n, D].
        made: [m, D].
        least: rows that each must have.

    Raises:
        UserError: shapes do not fit, there are too few rows, or one is not finite.
    """
    if reference.ndim != 2 or made.ndim != 2 or reference.shape[1] != made.shape[1]:
        raise UserError(
            f"expected embeddings [n, D] of one width, got {reference.shape} and "
            f"{made.shape}"
        )
    if min(len(reference), len(made)) < least:
        raise UserError(
            f"expected {least} clips or more on both sides, got {len(reference)} and "
            f"{len(made)}"
        )
    if not all(np.isfinite(rows).all() for x in (reference, made) for rows in read(x)):
        raise UserError("embeddings are not all finite; check the clips for NaN")


def read(x: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of a set as float64, some of them at a time."""
    for start in range(0, len(x), ROWS):
        yield np.asarray(x[start : start + ROWS], np.float64)


def squared_distances(
    x: np.ndarray, y: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of all pairs, exactly 0 of a row to itself.

    Args:
        x: [n, D].
        y: [m, D]; the same array as ``x`` for those within a set.

    Yields:
        Which rows of ``x``, and float64 [b, m].
    """
    size = max(1, ENTRIES // len(y))
    others = np.asarray(y, np.float64)
    norms = np.square(others).sum(1)
    for start in range(0, len(x), size):
        rows = slice(start, min(start + size, len(x)))
        mine = np.asarray(x[rows], np.float64)
        squares = np.square(mine).sum(1)[:, None] + norms - 2 * mine @ others.T
        if x is y:
            squares[np.arange(len(mine)), np.arange(start, rows.stop)] = 0.0
        yield rows, np.maximum(squares, 0.0)


def kth_smallest(squares: np.ndarray, k: int) -> np.ndarray:
    """The k-th smallest of each row, counted from 1."""
    return np.partition(squares, k - 1, axis=1)[:, k - 1]
