"""Distances between two sets of embeddings, whatever network made them.

Every function takes embeddings [n, D], one row a clip. Which network, layer and weights
they come from decides what a number means and belongs in its `Protocol`: only
embeddings of the published networks give the published FAD and FD.
"""

from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError

KERNEL_SCALE = 1000.0


def frechet_distance(reference: np.ndarray, made: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two sets (Heusel et al. 2017, eq. 6).

    ``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^.5 C2 C1^.5)^.5`` in float64. The last
    trace is that of the singular values of ``A1 A2^T`` for centred data ``A / sqrt(n -
    1)``, which are the roots of that matrix's eigenvalues: always real, and right for
    fewer clips than dimensions. ``R`` of ``A = QR`` has the same ones and is small.
    It is biased upwards, the more so the fewer the clips: compare at equal n, or see
    `frechet_extrapolated`.

    Args:
        reference: [n, D], n of 2 or more.
        made: [m, D], m of 2 or more.

    Raises:
        UserError: shapes do not fit, there are too few clips, or one is not finite.
    """
    a, b = _checked(reference, made, least=2)
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    traces = sum(np.square(x).sum() for x in centred)
    roots = [np.asarray(np.linalg.qr(x, mode="r")) for x in centred]
    root = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return float(means + traces - 2 * root)


class Extrapolated(NamedTuple):
    """A Frechet distance brought to infinitely many clips.

    Attributes:
        value: intercept of the line over 1 / n; may be below 0 for equal sets.
        slope: of that line, the bias of one clip.
        r_squared: how well a line fits.
    """

    value: float
    slope: float
    r_squared: float


def frechet_extrapolated(
    reference: np.ndarray, made: np.ndarray, *, points: int = 12, seed: int = 0
) -> Extrapolated:
    """Frechet distance without its bias of few clips (Chong & Forsyth 2020).

    A line over ``1 / n`` is fitted to the distances of subsets of n clips to the whole
    reference, and read at 0. Subsets are drawn over clips, without replacement, as a
    clip that is drawn twice counts for less than its n. With fewer clips in a subset
    than dimensions the bias is no line, and much of it stays; so does what is due to
    a small reference.

    Args:
        reference: [n, D], used whole.
        made: [m, D], m of 16 or more.
        points: number of subset sizes, even in 1 / n, from m / 4 to m.
        seed: of the subsets.
    """
    a, b = _checked(reference, made, least=16)
    rng = np.random.default_rng(seed)
    largest = len(b)
    inverse = np.linspace(4 / largest, 1 / largest, points)
    sizes = np.round(1 / inverse).astype(int)
    order = [rng.permutation(largest)[:size] for size in sizes]
    values = np.array([frechet_distance(a, b[chosen]) for chosen in order])
    slope, value = np.polyfit(1 / sizes, values, 1)
    residual = values - (slope / sizes + value)
    total = np.square(values - values.mean()).sum()
    fit = 1 - np.square(residual).sum() / total if total else 1.0
    return Extrapolated(float(value), float(slope), float(fit))


def median_bandwidth(reference: np.ndarray) -> float:
    """Median distance between two different clips of the reference.

    The yardstick of `kernel_distance`: taken from the reference, so that it does not
    change with the system under test.
    """
    a, _ = _checked(reference, reference, least=2)
    squares = _squares(a, a)[np.triu_indices(len(a), 1)]
    return float(np.sqrt(np.median(squares)))


def kernel_distance(reference: np.ndarray, made: np.ndarray, bandwidth: float) -> float:
    """Unbiased squared maximum mean discrepancy, times 1000 (Chung et al. 2025, KAD).

    Gaussian kernel ``exp(-d^2 / (2 bandwidth^2))``, without the diagonals (Gretton et
    al. 2012, equation 3). Its expectation is 0 for equal sets of any size, so a value
    may be below 0.

    Args:
        reference: [n, D], n of 2 or more.
        made: [m, D], m of 2 or more.
        bandwidth: from `median_bandwidth` of the reference.
    """
    a, b = _checked(reference, made, least=2)
    if not bandwidth > 0:
        raise UserError(f"kernel distance: bandwidth must be above 0, not {bandwidth}")

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-_squares(x, y) / (2 * bandwidth**2))

    def within(x: np.ndarray) -> float:
        return float((kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1)))

    return KERNEL_SCALE * (within(a) + within(b) - 2 * float(kernel(a, b).mean()))


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [n, m], exactly 0 of a row to itself."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    if x is y:
        np.fill_diagonal(squares, 0.0)
    return np.maximum(squares, 0.0)


def _checked(
    reference: np.ndarray, made: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(x, np.float64) for x in (reference, made))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UserError(
            f"expected embeddings [n, D] of one width, got {a.shape} and {b.shape}"
        )
    if min(len(a), len(b)) < least:
        raise UserError(
            f"expected {least} clips or more on both sides, got {len(a)} and {len(b)}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("embeddings are not all finite; check the clips for NaN")
    return a, b
