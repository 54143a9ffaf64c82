"""UniPC: Zhao, Bai, Rao, Zhou & Lu 2023 (arXiv:2302.04867)."""

import math

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.dpm_solver import orders
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    Solver,
    model_inputs,
    recurrence,
)
from diffusion_audio.errors import UserError


def unipc(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    order: int = 2,
    clip: float | None = None,
) -> Solver:
    """Unified predictor-corrector, multistep, in x_0, with B_2(h); theorem 3.1.

    Each evaluation serves twice: it corrects the state that it saw (UniC, order + 1),
    from which the next is predicted (UniP, order). The last state goes uncorrected
    and, as published, the last ``order`` steps are of ever lower order.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        order: of the predictor, 1 to 3; the paper takes 2 with guidance, else 3.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: another order, or a grid on which noise grows.
    """
    if order not in (1, 2, 3):
        raise UserError(f"unipc: order must be 1, 2 or 3, got {order}")
    if np.any(grid.ratio[1:] > grid.ratio[:-1]):
        raise UserError("unipc: the grid must descend from noise to data")
    used = orders(grid, order, lower_final=True)
    shrink = grid.sigma[1:] / grid.sigma[:-1]
    predict, correct = np.zeros((2, grid.n, order + 1))
    for i in range(grid.n):
        weights = grid.alpha[i + 1] * _bh2(grid, i, used[i], corrector=False)
        predict[i, : len(weights)] = weights
    for i in range(grid.n - 1):  # what evaluation i + 1 says of the step before it
        weights = grid.alpha[i + 1] * _bh2(grid, i, used[i], corrector=True)
        correct[i + 1, : len(weights)] = weights
    kept = Coefficients(
        x=np.eye(grid.n)[0],  # the first state has nothing to correct it by
        kept=np.append(0, shrink[:-1]),
        x0=correct,
    )
    new = Coefficients(
        x=shrink * kept.x,
        kept=shrink * kept.kept,
        x0=shrink[:, None] * correct + predict,
    )
    return recurrence(
        model_inputs(grid), new, prediction=prediction, kept=kept, clip=clip
    )


def _bh2(grid: Grid, i: int, order: int, corrector: bool) -> np.ndarray:
    """Weights of x_0 in the step from state i, over alpha; theorem 3.1, with x_0.

    Args:
        grid: of the walk.
        i: the state that the step leaves.
        order: how many predictions it uses, those at states i, i - 1, ..
        corrector: whether that at state i + 1 is there too.

    Returns:
        The weights, latest state first, [order] or [order + 1].
    """
    lambdas = grid.log_snr / 2
    h = lambdas[i + 1] - lambdas[i]
    nodes = (lambdas[i - np.arange(1, order)] - lambdas[i]) / h  # r_1, r_2, ..
    if corrector:
        nodes = np.append(1.0, nodes)
    b_h = np.expm1(-h)
    if len(nodes) <= 1:
        rho = np.full(len(nodes), 0.5)  # without solving, as published
    else:
        phi, right = b_h / -h - 1, []
        for k in range(1, len(nodes) + 1):
            right.append(phi * math.factorial(k) / b_h)
            phi = phi / -h - 1 / math.factorial(k + 1)
        rho = np.linalg.solve(np.vander(nodes, increasing=True).T, right)
    slopes = -b_h * rho / nodes
    return np.insert(slopes, int(corrector), -b_h - slopes.sum())
