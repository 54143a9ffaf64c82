"""Kernel distance (maximum mean discrepancy) of two sets of embeddings."""

from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.embeddings import (
    ROWS,
    require_embeddings,
    squared_distances,
)

SCALE = 1000.0  # of the kernel distance (Chung et al. 2025, KAD)
EXACT = 1 << 23  # pairs that are sorted at once
SAMPLE = 1 << 16  # pairs that bounds are guessed from
REACH = 0.01  # of ranks to either side: 5 standard errors of such a guess


class Discrepancy(NamedTuple):
    """An unbiased squared maximum mean discrepancy.

    Attributes:
        value: it may be below 0.
        error: its standard error over clips.
    """

    value: float
    error: float


def discrepancy(
    reference: np.ndarray,
    made: np.ndarray,
    bandwidth: float,
    *,
    clips: tuple[np.ndarray, np.ndarray] | None = None,
) -> Discrepancy:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, equation 3).

    Gaussian kernel ``exp(-d^2 / (2 bandwidth^2))``, without the diagonals. The error is
    that of the jackknife over clips, both sets varying: right where the sets differ,
    and up to sqrt(2) too large where they are alike.

    Args:
        reference: [n, D], n of 2 or more.
        made: [m, D], m of 2 or more.
        bandwidth: of the kernel.
        clips: int [n] and [m], the clip that each row is of; each its own where None.

    Raises:
        UserError: the sets do not fit, or the bandwidth is not above 0.
    """
    require_embeddings(reference, made, least=2)
    if not bandwidth > 0:
        raise UserError(f"kernel distance: bandwidth must be above 0, not {bandwidth}")
    gamma = 1 / (2 * bandwidth**2)
    n, m = len(reference), len(made)
    within = [np.zeros(n), np.zeros(m)]
    for sums, x in zip(within, (reference, made), strict=True):
        for rows, squares in squared_distances(x, x):
            sums[rows] = np.exp(-gamma * squares).sum(1) - 1
    across = [np.zeros(n), np.zeros(m)]
    for rows, squares in squared_distances(reference, made):
        kernel = np.exp(-gamma * squares)
        across[0][rows] = kernel.sum(1)
        across[1] += kernel.sum(0)
    value = (
        within[0].sum() / (n * (n - 1))
        + within[1].sum() / (m * (m - 1))
        - 2 * across[0].sum() / (n * m)
    )
    variance = 0.0
    for side, (size, other) in enumerate(((n, m), (m, n))):
        pull = within[side] / (size - 1) - across[side] / other
        pull -= pull.mean()
        if clips is not None:
            pull = np.asarray(np.bincount(clips[side], weights=pull), np.float64)
        count = len(pull)
        if count > 1:
            variance += 4 * np.square(pull).sum() / size**2 * count / (count - 1)
    return Discrepancy(float(value), float(np.sqrt(variance)))


def median_distance(x: np.ndarray, *, lower: bool = False) -> float:
    """Median distance between two different rows; exact, in bounded memory.

    Args:
        x: [n, D], n of 2 or more.
        lower: of an even number the lower of the middle two, as ``torch.median``
            takes; else their mean.
    """
    require_embeddings(x, x, least=2)
    pairs = len(x) * (len(x) - 1) // 2
    first = (pairs - 1) // 2
    middle = np.sqrt(_ranked(x, first, first if lower else pairs // 2))
    return float(middle.mean())


def _ranked(x: np.ndarray, first: int, last: int) -> np.ndarray:
    """The squared distances [2] of two ranks among all pairs, counted from 0.

    Where there are many, bounds about it are guessed from some of them, and only what
    lies between is sorted; the bounds are widened if it does not.
    """
    count = len(x) * (len(x) - 1) // 2
    # Among all of both orders, and the zeros of a row to itself.
    places = len(x) + 2 * np.array([first, last])
    middle, reach = (first + 0.5) / count, REACH if count > EXACT else 1.0
    some = np.sort(_drawn(x, SAMPLE)) if reach < 1 else np.zeros(0)
    while True:
        low = np.quantile(some, middle - reach) if middle > reach else 0.0
        high = np.quantile(some, middle + reach) if middle + reach < 1 else np.inf
        below, between = 0, []
        for _, squares in squared_distances(x, x):
            below += int((squares < low).sum())
            between.append(squares[(squares >= low) & (squares <= high)])
        found = np.concatenate(between)
        if below <= places[0] and places[1] < below + len(found):
            return np.partition(found, places - below)[places - below]
        reach *= 4


def _drawn(x: np.ndarray, count: int) -> np.ndarray:
    """Squared distances of some pairs of different rows."""
    rng = np.random.default_rng(0)
    first = rng.integers(len(x), size=count)
    other = (first + rng.integers(1, len(x), size=count)) % len(x)
    rows = np.array_split(np.arange(count), max(1, count // ROWS))
    return np.concatenate(
        [
            np.square(np.subtract(x[first[i]], x[other[i]], dtype=np.float64)).sum(1)
            for i in rows
        ]
    )
