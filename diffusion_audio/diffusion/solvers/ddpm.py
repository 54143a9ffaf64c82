"""DDPM: Ho et al. 2020, and the variances of Nichol & Dhariwal 2021."""

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.reverse import VARIANCES, learned_range
from diffusion_audio.diffusion.solvers.recurrence import (
    Coefficients,
    Solver,
    Spread,
    model_inputs,
    recurrence,
)
from diffusion_audio.errors import UserError, unknown


def ddpm(
    grid: Grid,
    prediction: str = "epsilon",
    *,
    variance: str = "beta_tilde",
    clip: float | None = None,
) -> Solver:
    """Ancestral sampling; Ho et al. 2020, algorithm 2.

    Each step draws from the posterior of eq. 6-7 with the predicted x_0 (eq. 15) in
    the place of x_0. Fewer steps than T are a shorter chain with its own betas
    (Nichol & Dhariwal 2021, section 4). A step that lands on the data adds no noise.

    Args:
        grid: where to stop on the way.
        prediction: what the network predicts.
        variance: ``beta_tilde``, right for data of one point; ``beta``, right for
            data N(0, I) (section 3.2); ``learned_range``, between the two, where the
            network gives (``reverse.learned_range``).
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: an unknown variance, or a grid on which noise grows.
    """
    if variance not in VARIANCES:
        raise unknown("variance of ddpm", variance, VARIANCES)
    beta, beta_tilde = posterior_variances(grid)
    alpha, alpha_prev = grid.alpha[:-1], grid.alpha[1:]
    variance_now, variance_prev = grid.sigma[:-1] ** 2, grid.sigma[1:] ** 2
    noisy = (grid.sigma[1:] > 0).astype(float)
    noise = {
        "beta_tilde": np.sqrt(beta_tilde),
        "beta": np.sqrt(beta) * noisy,
        "learned_range": noisy,
    }
    new = Coefficients(
        x=alpha / alpha_prev * variance_prev / variance_now,
        x0=alpha_prev * beta / variance_now,
        noise=noise[variance],
    )
    learned = variance == "learned_range"
    spread = _learned_range(beta, beta_tilde) if learned else None
    return recurrence(
        model_inputs(grid), new, prediction=prediction, spread=spread, clip=clip
    )


def posterior_variances(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Variance of q(x_t | x_s) and of q(x_s | x_t, x_0) for each step t -> s, [n].

    beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2 and beta-tilde = beta
    sigma_s^2 / sigma_t^2: eq. 7 for any alpha and sigma (Kingma et al. 2021,
    appendix A.2).

    Raises:
        UserError: noise grows on the way, as on the grid of an inversion.
    """
    if np.any(grid.ratio[1:] > grid.ratio[:-1]):
        raise UserError(
            "a solver that adds noise needs a grid that descends from noise to data; "
            "to invert, take ddim with eta = 0"
        )
    kept = grid.alpha[:-1] / grid.alpha[1:]
    variance, variance_prev = grid.sigma[:-1] ** 2, grid.sigma[1:] ** 2
    # Not negative but by rounding, where a step leads nowhere.
    beta = np.maximum(variance - kept**2 * variance_prev, 0)
    return beta, beta * variance_prev / variance


def _learned_range(beta: np.ndarray, beta_tilde: np.ndarray) -> Spread:
    """Standard deviation between the two; Nichol & Dhariwal 2021, eq. 15."""
    upper = np.log(np.where(beta_tilde > 0, beta, 1))
    lower = np.log(np.where(beta_tilde > 0, beta_tilde, 1))

    def spread(raw: Array, i: Array) -> Array:
        low, high = (jnp.asarray(table, raw.dtype)[i] for table in (lower, upper))
        return jnp.exp(0.5 * learned_range(raw, low, high))

    return spread
