"""Heun's second-order method: EDM, Karras et al. 2022."""

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.euler import churned
from diffusion_audio.diffusion.solvers.recurrence import (
    Levels,
    Lift,
    Solver,
    Sum,
    recurrence,
)


def heun(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    churn: float = 0.0,
    churn_range: tuple[float, float] = (0.0, np.inf),
    churn_noise: float = 1.0,
    clip: float | None = None,
) -> Solver:
    """Karras et al. 2022, algorithm 2; without churn, algorithm 1.

    An Euler step, then again with the mean of the slopes at its two ends: two
    evaluations a step, but one for the last, which lands where no network is asked.

    Slopes are those of y = x / alpha along ratio = sigma / alpha, the paper's
    coordinates. A walk from alpha = 0, as of rectified flow, has no such start and
    takes y = x / (alpha + sigma) along sigma / (alpha + sigma), where the path of a
    sample is as straight.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        churn: see `euler.churned`.
        churn_range: likewise.
        churn_noise: likewise.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    levels, lift = churned(grid, churn, churn_range, churn_noise)
    here = (np.arange(2 * grid.n - 1) + 1) // 2  # the state that is seen, or
    first = np.arange(2 * grid.n - 1) % 2 == 0  # the same with churn, at the first
    step = np.arange(2 * grid.n - 1) // 2
    alpha, sigma = levels.alpha[step], levels.sigma[step]
    alpha_to, sigma_to = grid.alpha[step + 1], grid.sigma[step + 1]
    straight = grid.alpha[0] == 0
    scale = 1 / (alpha + straight * sigma)
    scale_to = 1 / (alpha_to + straight * sigma_to)
    # The state that a step leaves is alpha x_0 + sigma eps of its first prediction.
    shrunk_alpha, shrunk_sigma = (x * scale / scale_to for x in (alpha, sigma))
    new = Sum(
        x0=_pairs(first, alpha_to, shrunk_alpha),
        eps=_pairs(first, sigma_to, shrunk_sigma),
    )
    if lift is not None:
        churn_x, churn_z = (table[step] for table in lift)
        lift = Lift(np.where(first, churn_x, 1), np.where(first, churn_z, 0))
    return recurrence(
        Levels(
            np.where(first, levels.t[step], grid.t[here]),
            np.where(first, alpha, grid.alpha[here]),
            np.where(first, sigma, grid.sigma[here]),
        ),
        new,
        prediction=prediction,
        lift=lift,
        clip=clip,
        stops=np.append(np.arange(1, 2 * grid.n - 1, 2), 2 * grid.n - 2),
    )


def _pairs(first: np.ndarray, there: np.ndarray, shrunk: np.ndarray) -> np.ndarray:
    """Weights [n, 2] of the latest prediction and the one before."""
    second = (there - shrunk) / 2, (there + shrunk) / 2
    return np.stack([np.where(first, there, second[0]), (1 - first) * second[1]], 1)
