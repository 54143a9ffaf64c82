"""DDIM: Song, Meng & Ermon 2021."""

import numpy as np

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.ddpm import posterior_variances
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    Solver,
    model_inputs,
    recurrence,
)
from diffusion_audio.errors import UserError


def ddim(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    eta: float = 0.0,
    clip: float | None = None,
) -> Solver:
    """Denoising diffusion implicit models; Song et al. 2021, eq. 12 and 16.

    Without noise it may walk either way (section 4.3), so it inverts too; see
    ``editing.inverse``.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        eta: 0, no noise, to 1, the noise of ancestral sampling.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: eta outside 0..1, or above 0 on a grid on which noise grows.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"ddim: eta must be in 0..1, got {eta}")
    std = np.zeros(grid.n)
    if eta:
        std = eta * np.sqrt(posterior_variances(grid)[1])  # eq. 16
    # Not negative but by rounding, where eta = 1 and nearly all noise goes at once.
    onward = np.sqrt(np.maximum(grid.sigma[1:] ** 2 - std**2, 0))
    new = Coefficients(x0=grid.alpha[1:], eps=onward, noise=std)  # eq. 12
    return recurrence(model_inputs(grid), new, prediction=prediction, clip=clip)
