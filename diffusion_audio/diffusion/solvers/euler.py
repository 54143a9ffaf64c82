"""Euler's method on the probability flow, as in k-diffusion (Karras et al. 2022)."""

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    InputNoise,
    Levels,
    Solver,
    model_inputs,
    recurrence,
)
from diffusion_audio.errors import UserError


def euler(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    churn: float = 0.0,
    churn_range: tuple[float, float] = (0.0, np.inf),
    churn_noise: float = 1.0,
    clip: float | None = None,
) -> Solver:
    """Karras et al. 2022, algorithm 2 without its correction.

    y = x / alpha obeys dy / d ratio = eps, and a step holds eps: the same numbers as
    ``ddim`` with eta = 0 (Song et al. 2021, eq. 14), to which this adds churn.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        churn: see `churned`.
        churn_range: see `churned`.
        churn_noise: see `churned`, whose ``noise`` it is.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    levels, input_noise = churned(grid, churn, churn_range, churn_noise)
    new = Coefficients(x0=grid.alpha[1:], eps=grid.sigma[1:])
    return recurrence(
        levels, new, prediction=prediction, input_noise=input_noise, clip=clip
    )


def euler_ancestral(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    eta: float = 1.0,
    clip: float | None = None,
) -> Solver:
    """Euler below the next noise level, then noise up to it; k-diffusion.

    With ratio s to s', noise of variance eta^2 s'^2 (s^2 - s'^2) / s^2 is put back,
    what DDIM's eq. 16 is in these coordinates: on one grid this is ``ddim`` of the
    same eta, and at eta = 1 ``ddpm``.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        eta: 0, no noise, to 1, ancestral sampling.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: eta outside 0..1, or a grid on which noise grows.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"euler_ancestral: eta must be in 0..1, got {eta}")
    if np.any(grid.ratio[1:] > grid.ratio[:-1]):
        raise UserError("euler_ancestral: the grid must descend from noise to data")
    to = grid.ratio[1:]
    up = eta * to * np.sqrt(np.maximum(1 - (to / grid.ratio[:-1]) ** 2, 0))
    down = np.sqrt(np.maximum(to**2 - up**2, 0))
    alpha = grid.alpha[1:]
    new = Coefficients(x0=alpha, eps=alpha * down, noise=alpha * up)
    return recurrence(model_inputs(grid), new, prediction=prediction, clip=clip)


def churned(
    grid: Grid, churn: float, churn_range: tuple[float, float], noise: float
) -> tuple[Levels, InputNoise | None]:
    """Noise put in before each step; Karras et al. 2022, algorithm 2, lines 4-6.

    Args:
        grid: where to stop on the way, n steps.
        churn: S_churn. Each step begins by raising the ratio by the factor
            1 + min(churn / n, sqrt(2) - 1).
        churn_range: S_tmin and S_tmax, the ratios between which it does so.
        noise: S_noise, the scale of what is added.

    Returns:
        The levels at which the network is evaluated, and the noise before, or None.
    """
    if churn < 0:
        raise UserError(f"churn must not be negative, got {churn}")
    levels = model_inputs(grid)
    ratio = grid.ratio[:-1]
    raised = (ratio >= churn_range[0]) & (ratio <= churn_range[1])
    raised &= np.isfinite(ratio)
    if not churn or not raised.any():
        return levels, None
    if grid.locate is None:
        raise UserError(
            "churn calls the network between the levels of the grid, which this grid "
            "cannot find; make it by make_grid, or set churn to 0"
        )
    factor = 1 + min(churn / grid.n, np.sqrt(2) - 1)
    between = grid.locate(np.where(raised, factor * ratio, 1.0))
    t, alpha, sigma = (
        np.where(raised, new, old) for new, old in zip(between, levels, strict=True)
    )
    added = alpha * np.where(raised, ratio * np.sqrt(factor**2 - 1), 0.0)
    # Where alpha is 0, as where rectified flow starts, there is no ratio to raise.
    shrunk = np.divide(alpha, levels.alpha, out=np.ones_like(alpha), where=raised)
    return Levels(t, alpha, sigma), InputNoise(shrunk, noise * added)
