"""Fidelity and diversity of a set of clips, by nearest neighbours of embeddings."""

from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.embeddings import (
    kth_smallest,
    require_embeddings,
    squared_distances,
)


class Neighbours(NamedTuple):
    """Numbers of single clips; the measures are their means.

    Attributes:
        precision: [m] of 0 and 1: a made clip lies in the ball of a real one.
        density: [m]: in how many such balls, over k.
        recall: [n] of 0 and 1: a real clip lies in the ball of a made one.
        coverage: [n] of 0 and 1: the ball of a real clip holds a made one.
    """

    precision: np.ndarray
    density: np.ndarray
    recall: np.ndarray
    coverage: np.ndarray


def neighbours(reference: np.ndarray, made: np.ndarray, k: int = 5) -> Neighbours:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage.

    The latter two are those of Naeem et al. 2020 (equations 4 and 5), which one
    outlier does not rule. The ball of a clip reaches to its k-th nearest other clip of
    the same set.

    Args:
        reference: [n, D], n above k.
        made: [m, D], m above k.
        k: neighbours.

    Raises:
        UserError: the sets do not fit, or are too small.
    """
    if k < 1:
        raise UserError(f"neighbours: k must be 1 or more, not {k}")
    require_embeddings(reference, made, least=k + 1)
    real, other = _radii(reference, k), _radii(made, k)
    held = np.zeros(len(made))
    recall, coverage = np.zeros(len(reference)), np.zeros(len(reference))
    for rows, squares in squared_distances(reference, made):
        held += (squares <= real[rows, None]).sum(0)
        recall[rows] = (squares <= other).any(1)
        coverage[rows] = squares.min(1) <= real[rows]
    return Neighbours(np.minimum(held, 1.0), held / k, recall, coverage)


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distances [n] to the k-th nearest other row."""
    radii = np.zeros(len(x))
    for rows, squares in squared_distances(x, x):
        radii[rows] = kth_smallest(squares, k + 1)  # a row is its own nearest
    return radii
