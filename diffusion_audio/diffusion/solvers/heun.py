"""Heun's second-order method: EDM, Karras et al. 2022."""

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.euler import churned
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    InputNoise,
    Levels,
    Solver,
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
    evaluations a step, but one for the last, which lands where no network is evaluated.

    Slopes are those of y = x / alpha along ratio = sigma / alpha, the paper's
    coordinates. A walk from alpha = 0, as of rectified flow, has no such start and
    takes y = x / (alpha + sigma) along sigma / (alpha + sigma), where the path of a
    sample is as straight.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        churn: see `euler.churned`.
        churn_range: see `churned`.
        churn_noise: see `churned`, whose ``noise`` it is.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    levels, input_noise = churned(grid, churn, churn_range, churn_noise)
    straight = grid.alpha[0] == 0
    scale, scale_next = (
        1 / (alpha + straight * sigma)
        for alpha, sigma in (levels[1:], (grid.alpha[1:], grid.sigma[1:]))
    )
    along, along_next = scale * levels.sigma, scale_next * grid.sigma[1:]  # t in EDM
    h = (along_next - along)[:, None]

    # The algorithm, all n steps at once: states and slopes [n, 4] as weights of what
    # the network predicts, x_0 and eps, at a step's first evaluation and at its second.
    x0, eps, x0_next, eps_next = np.eye(4)
    y_hat = np.outer(scale * levels.alpha, x0) + np.outer(along, eps)
    d = eps - straight * x0  # (y_hat - x_0) / t_hat in EDM's coordinates
    y_euler = y_hat + h * d
    d_next = eps_next - straight * x0_next
    y_heun = y_hat + h * (d + d_next) / 2

    x_euler, x_heun = (y / scale_next[:, None] for y in (y_euler, y_heun))
    if input_noise is not None:  # an evaluation that looks ahead adds no noise
        input_noise = InputNoise(
            _in_turn(input_noise.x, 1), _in_turn(input_noise.noise, 0)
        )
    return recurrence(
        Levels(
            _in_turn(levels.t, grid.t[1:]),
            _in_turn(levels.alpha, grid.alpha[1:-1]),
            _in_turn(levels.sigma, grid.sigma[1:-1]),
        ),
        # The latest prediction comes first; the first evaluation has no use for others.
        Coefficients(
            x0=_in_turn(x_euler[:, [0, 2]], x_heun[:-1, [2, 0]]),
            eps=_in_turn(x_euler[:, [1, 3]], x_heun[:-1, [3, 1]]),
        ),
        prediction=prediction,
        input_noise=input_noise,
        clip=clip,
        stops=np.append(np.arange(1, 2 * grid.n - 1, 2), 2 * grid.n - 2),
    )


def _in_turn(first: np.ndarray, second: np.ndarray | int) -> np.ndarray:
    """Rows of first evaluations, [n, ...], and between them those of second ones."""
    rows = np.empty((2 * len(first) - 1, *first.shape[1:]), first.dtype)
    rows[::2], rows[1::2] = first, second
    return rows
