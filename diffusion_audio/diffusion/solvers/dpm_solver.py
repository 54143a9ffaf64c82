"""DPM-Solver++: Lu et al. 2022b (arXiv:2211.01095), multistep."""

from typing import NamedTuple

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    Solver,
    model_inputs,
    recurrence,
)
from diffusion_audio.errors import UserError

FEW = 15
"""Under so many steps the last ones fall back to a lower order: the authors' code."""


def dpmpp_2m(
    grid: Grid, prediction: str = "epsilon", *, clip: float | None = None
) -> Solver:
    """DPM-Solver++(2M); algorithm 2.

    With lambda = log(alpha / sigma) and h its step, x_0 is taken as linear in lambda
    through its last two predictions, at which the exact solution is

        x' = sigma' / sigma x - alpha' (exp(-h) - 1) (x_0 + h / (2 h_0) (x_0 - x_0'))

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    steps = _steps(grid)
    gain = grid.alpha[1:] * (1 - steps.decay)
    x0 = gain[:, None] * _midpoint(steps, orders(grid, 2, lower_final=grid.n < FEW))
    new = Coefficients(x=grid.sigma[1:] / grid.sigma[:-1], x0=x0)
    return recurrence(model_inputs(grid), new, prediction=prediction, clip=clip)


def dpmpp_2m_sde(
    grid: Grid, prediction: str = "epsilon", *, clip: float | None = None
) -> Solver:
    """SDE-DPM-Solver++(2M), of the paper's second version.

    The reverse SDE in the place of the flow, solved to the same order in x_0:

        x' = sigma' / sigma exp(-h) x + sigma' sqrt(1 - exp(-2h)) z
             + alpha' (1 - exp(-2h)) (x_0 + h / (2 h_0) (x_0 - x_0'))

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    steps = _steps(grid)
    gain = grid.alpha[1:] * (1 - steps.decay**2)
    new = Coefficients(
        x=grid.sigma[1:] / grid.sigma[:-1] * steps.decay,
        x0=gain[:, None] * _midpoint(steps, orders(grid, 2, lower_final=grid.n < FEW)),
        noise=grid.sigma[1:] * np.sqrt(1 - steps.decay**2),
    )
    return recurrence(model_inputs(grid), new, prediction=prediction, clip=clip)


def dpmpp_3m(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    half_curvature: bool = False,
    clip: float | None = None,
) -> Solver:
    """DPM-Solver++ of third order, multistep.

    As `dpmpp_2m` with a parabola through the last three predictions, which is
    integrated exactly: proposition 4.1 with its derivatives of x_0 by finite
    differences.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        half_curvature: takes half of the parabola's square term, as the authors' code
            does, and diffusers and k-diffusion after it: their difference quotient is
            of x_0'' / 2 and goes where x_0'' belongs. It is of second order.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    steps = _steps(grid)
    order = orders(grid, 3, lower_final=grid.n < FEW)
    gain = grid.alpha[1:] * (1 - steps.decay)
    x0 = np.zeros((grid.n, 3))
    x0[:, :2] = gain[:, None] * _midpoint(steps, order)
    latest, before, oldest = np.eye(3)
    for i in np.flatnonzero(order == 3):
        h, h0, h1 = steps.h[i], steps.h[i - 1], steps.h[i - 2]
        # x_0 = latest + slope tau + square tau^2, tau = 0 .. 1 over the step.
        slope_0, slope_1 = h / h0 * (latest - before), h / h1 * (before - oldest)
        square = h / (h0 + h1) * (slope_0 - slope_1)
        slope = slope_0 + h0 / h * square
        phi_1 = np.expm1(-h)
        phi_2 = phi_1 / h + 1
        phi_3 = phi_2 / h - 0.5
        curvature = square if half_curvature else 2 * square  # h^2 x_0''
        x0[i] = -phi_1 * latest + phi_2 * slope - phi_3 * curvature
        x0[i] *= grid.alpha[i + 1]
    new = Coefficients(x=grid.sigma[1:] / grid.sigma[:-1], x0=x0)
    return recurrence(model_inputs(grid), new, prediction=prediction, clip=clip)


class Steps(NamedTuple):
    """Of each step, [n]: h, the step of lambda, and exp(-h), which is finite."""

    h: np.ndarray
    decay: np.ndarray


def _steps(grid: Grid) -> Steps:
    """Steps of lambda; infinite to the data and from where nothing is left of them."""
    if np.any(grid.ratio[1:] > grid.ratio[:-1]) or np.any(grid.sigma[:-1] == 0):
        raise UserError("this solver needs a grid that descends from noise to data")
    decay = grid.alpha[:-1] * grid.sigma[1:] / (grid.sigma[:-1] * grid.alpha[1:])
    with np.errstate(divide="ignore"):
        return Steps(-np.log(decay), decay)


def orders(grid: Grid, most: int, *, lower_final: bool) -> np.ndarray:
    """The order of each step, int [n].

    As many predictions as there are at finite lambda; one for a step to the data,
    where h is infinite, or to the same level, where it is 0; with ``lower_final`` one
    fewer a step towards the end.
    """
    order = np.clip(np.cumsum(grid.alpha[:-1] > 0), 1, most)
    if lower_final:
        order = np.minimum(order, grid.n - np.arange(grid.n))
    ratio = grid.ratio
    return np.where((ratio[1:] == 0) | (ratio[1:] == ratio[:-1]), 1, order)


def _midpoint(steps: Steps, order: np.ndarray) -> np.ndarray:
    """Weights [n, 2] of the last two x_0, their mean over the step."""
    weights = np.zeros((len(order), 2))
    weights[:, 0] = 1
    for i in np.flatnonzero(order > 1):
        slope = steps.h[i] / steps.h[i - 1] / 2
        weights[i] += slope, -slope
    return weights
