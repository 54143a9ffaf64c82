"""The Frechet distance of two sets of embeddings, whatever network made them.

Every function takes embeddings [n, D], one row a clip. Which network, layer and weights
they come from decides what a number means and belongs in its `Protocol`: only
embeddings of the published networks give the published FAD and FD.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from diffusion_audio.evaluation.embeddings import read, require_embeddings


class Gaussian(NamedTuple):
    """The Gaussian that is fitted to a set.

    Attributes:
        mean: [D].
        factor: [r, D], ``factor.T @ factor`` is the covariance (by n - 1).
    """

    mean: np.ndarray
    factor: np.ndarray


def gaussian(embeddings: np.ndarray) -> Gaussian:
    """The Gaussian of a set [n, D], in float64 and bounded memory.

    The factor is the centred data where that has no more rows than dimensions, which
    is exact; else Cholesky's of the covariance, with pivots, as some of a network's
    outputs may never vary.
    """
    count, width = embeddings.shape
    mean = np.sum([rows.sum(0) for rows in read(embeddings)], axis=0) / count
    centred = ((rows - mean) / np.sqrt(count - 1) for rows in read(embeddings))
    if count <= width:
        return Gaussian(mean, np.concatenate([*centred]))
    covariance = np.zeros((width, width))
    for rows in centred:
        covariance += rows.T @ rows
    upper, order, rank, _ = lapack.dpstrf(covariance)
    factor = np.zeros((rank, width))
    factor[:, order - 1] = np.triu(upper)[:rank]
    return Gaussian(mean, factor)


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017, eq. 6).

    ``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^.5 C2 C1^.5)^.5``. The last trace is that
    of the singular values of ``R1 R2^T``, which are the roots of that matrix's
    eigenvalues: always real, and right for fewer clips than dimensions.
    """
    root = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    traces = np.square(a.factor).sum() + np.square(b.factor).sum()
    return float(np.square(a.mean - b.mean).sum() + traces - 2 * root)


def frechet_distance(reference: np.ndarray, made: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two sets, in float64.

    It is biased upwards, the more so the fewer the clips: compare at equal n, or see
    `frechet_extrapolated`.

    Args:
        reference: [n, D], n of 2 or more.
        made: [m, D], m of 2 or more.

    Raises:
        UserError: shapes do not fit, there are too few clips, or one is not finite.
    """
    require_embeddings(reference, made, least=2)
    return frechet(gaussian(reference), gaussian(made))


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
    require_embeddings(reference, made, least=16)
    rng = np.random.default_rng(seed)
    largest = len(made)
    inverse = np.linspace(4 / largest, 1 / largest, points)
    sizes = np.round(1 / inverse).astype(int)
    order = [rng.permutation(largest)[:size] for size in sizes]
    whole = gaussian(reference)
    values = np.array([frechet(whole, gaussian(made[chosen])) for chosen in order])
    slope, value = np.polyfit(1 / sizes, values, 1)
    residual = values - (slope / sizes + value)
    total = np.square(values - values.mean()).sum()
    fit = 1 - np.square(residual).sum() / total if total else 1.0
    return Extrapolated(float(value), float(slope), float(fit))
