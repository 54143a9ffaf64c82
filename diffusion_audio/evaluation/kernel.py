"""Kernel distance (maximum mean discrepancy) of two sets of embeddings."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.embeddings import (
    require_embeddings,
    squared_distances,
)

SCALE = 1000.0  # of the kernel distance (Chung et al. 2025, KAD)
BINS = 1 << 16
EXACT = 1 << 24  # distances that are sorted at once


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
    if pairs % 2 or lower:
        return float(np.sqrt(_ranked(x, (pairs - 1) // 2)))
    middle = [_ranked(x, pairs // 2 - 1), _ranked(x, pairs // 2)]
    return float(np.mean(np.sqrt(middle)))


def _ranked(x: np.ndarray, rank: int) -> float:
    """The squared distance of a rank among all pairs, counted from 0.

    Where there are many, they are counted in bins between ever narrower bounds, until
    few enough are left to be sorted.
    """
    count = len(x) * (len(x) - 1) // 2
    low, high = 0.0, np.inf
    while count > EXACT:
        if np.isinf(high):
            high = np.nextafter(max(s.max() for _, s in squared_distances(x, x)), high)
        edges = np.linspace(low, high, BINS + 1)
        counts = np.zeros(BINS, np.int64)
        for values in _between(x, low, high):
            counts += np.histogram(values, edges)[0]
        before = np.cumsum(counts)
        place = int(np.searchsorted(before, rank, side="right"))
        rank -= int(before[place - 1]) if place else 0
        count, (low, high) = int(counts[place]), edges[place : place + 2]
        if counts[place] == before[-1]:  # equal ones, which no bin parts
            break
    found = np.concatenate([*_between(x, low, high)])
    return float(np.partition(found, rank)[rank])


def _between(x: np.ndarray, low: float, high: float) -> Iterator[np.ndarray]:
    """Squared distances of pairs within bounds, the lower one among them."""
    for rows, squares in squared_distances(x, x):
        later = np.arange(len(x)) > np.arange(rows.start, rows.stop)[:, None]
        values = squares[later]
        yield values[(values >= low) & (values < high)]
