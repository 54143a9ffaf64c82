"""PNDM: Liu, Ren, Lin & Zhao 2022, in the form that latent diffusion publishes."""

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    Levels,
    Solver,
    recurrence,
)
from diffusion_audio.errors import UserError

# Of the latest eps first; order 4 and, for the steps before it, the lower ones.
ADAMS_BASHFORTH = {
    2: np.array([3, -1]) / 2,
    3: np.array([23, -16, 5]) / 12,
    4: np.array([55, -59, 37, -9]) / 24,
}


def pndm(
    grid: Grid, prediction: str = "epsilon", *, clip: float | None = None
) -> Solver:
    """Pseudo linear multistep (PLMS); Liu et al. 2022, eq. 9 and algorithm 2.

    A fourth-order Adams-Bashforth mean of eps put into the step of DDIM (eq. 9),
    second order in all (property 3.2). The paper begins with Runge-Kutta steps of four
    evaluations; this, like the samplers of latent diffusion, Stable Diffusion and
    AudioLDM, with one step of two evaluations (the mean of eps at both its ends),
    then Adams-Bashforth of order 2 and 3: n + 1 evaluations for n steps.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: a grid from alpha = 0, where eq. 9 divides by 0.
    """
    if np.any(grid.alpha == 0):
        raise UserError(
            "pndm: its step divides by alpha, which is 0 where the grid starts; take "
            "ddim, dpmpp_2m or unipc, or a spacing that starts later"
        )
    if grid.n == 1:
        here = step = np.array([0])
    else:
        here = np.append([0, 1], np.arange(1, grid.n))
        step = np.append([0, 0], np.arange(1, grid.n))
    again = np.arange(len(here)) == 1  # the first step, taken from its start again
    shrink = grid.alpha[step + 1] / grid.alpha[step]
    slope = grid.sigma[step + 1] - shrink * grid.sigma[step]
    eps = np.zeros((len(here), 5))
    eps[0, 0] = 1
    eps[1:2, :2] = 0.5
    for j in range(2, len(here)):
        # Evaluation 1 saw a state that was taken back, and is no part of the history.
        past = [j - k for k in [*range(j, 1, -1), 0][:4]]
        eps[j, past] = ADAMS_BASHFORTH[len(past)]
    new = Coefficients(
        x=np.where(again, 0, shrink),
        kept=np.where(again, shrink, 0),
        eps=slope[:, None] * eps,
    )
    return recurrence(
        Levels(grid.t[here], grid.alpha[here], grid.sigma[here]),
        new,
        prediction=prediction,
        clip=clip,
        stops=np.arange(len(here) - grid.n, len(here)),
    )
