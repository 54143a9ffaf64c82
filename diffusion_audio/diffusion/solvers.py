"""Samplers: the reverse chain, each function named after its paper.

A solver is a pair of functions. ``init(x) -> state`` makes what the solver remembers
between steps (nothing, for those here). ``step(denoise, x, state, i, keys) -> (x,
state)`` takes the i-th of its ``steps`` steps, calling ``denoise(x, t)`` as often as
it likes; ``keys`` [B] are the examples' keys of that step. ``denoise`` predicts eps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.noise import example_noise
from diffusion_audio.diffusion.process import predict_eps, predict_x0, q_posterior
from diffusion_audio.diffusion.schedule import Schedule, gather, respace
from diffusion_audio.errors import UserError, unknown

Denoiser = Callable[[Array, Array], Array]
"""``denoise(xt [B, ...], t int32 [B]) -> eps`` shaped like xt."""

SPACINGS = ("leading", "trailing", "linspace")


class Solver(NamedTuple):
    """A sampler as two pure functions; see the top of the file.

    Attributes:
        steps: how many steps from noise to data.
        init: ``init(x) -> state``.
        step: ``step(denoise, x, state, i, keys) -> (x, state)``.
    """

    steps: int
    init: Callable[[Array], Any]
    step: Callable[[Denoiser, Array, Any, Array, Key], tuple[Array, Any]]


def timesteps(
    train_steps: int, n: int, spacing: str = "leading", steps_offset: int = 0
) -> np.ndarray:
    """Which n of the T timesteps a sampler visits; Lin et al. 2023, table 2.

    Args:
        train_steps: T.
        n: how many to visit.
        spacing: ``leading``, multiples of T // n, which never reach T - 1;
            ``trailing``, from T - 1 down; ``linspace``, both ends. Each rounds as
            diffusers does.
        steps_offset: added to ``leading`` (published latent models take 1).

    Returns:
        Timesteps, int32 [n], descending.

    Raises:
        UserError: an unknown spacing, n outside 1..T, or an offset that does not fit.
    """
    if spacing not in SPACINGS:
        raise unknown("timestep spacing", spacing, SPACINGS)
    if not isinstance(n, int) or not 1 <= n <= train_steps:
        raise UserError(
            f"sampling steps must be an integer in 1..{train_steps} (the steps of the "
            f"noise schedule), got {n!r}"
        )
    if steps_offset and spacing != "leading":
        raise UserError(
            f"steps_offset={steps_offset} moves leading timesteps only; with spacing "
            f"{spacing!r} set it to 0"
        )
    grid: np.ndarray
    if spacing == "leading":
        grid = np.arange(n)[::-1] * (train_steps // n) + steps_offset
    elif spacing == "trailing":
        # diffusers' own expression, for its rounding; it may run one step too far.
        grid = np.round(np.arange(train_steps, 0, -train_steps / n)[:n]) - 1
    else:
        grid = np.linspace(0, train_steps - 1, n).round()[::-1]
    if not 0 <= grid[-1] <= grid[0] < train_steps:
        raise UserError(
            f"{n} leading timesteps with steps_offset={steps_offset} run from "
            f"{grid[-1]} to {grid[0]}, outside 0..{train_steps - 1}; lower one of them"
        )
    return grid.astype(np.int32)


def ddpm(
    schedule: Schedule, timesteps: np.ndarray, *, clip: float | None = None
) -> Solver:
    """Ancestral sampling; Ho et al. 2020, algorithm 2.

    Each step draws from the posterior of eq. 6-7 with the predicted x_0 (eq. 15) in
    the place of x_0, so the variance is beta-tilde. Fewer steps than T are a shorter
    chain with its own betas (Nichol & Dhariwal 2021, section 4).

    Args:
        schedule: what the network was trained on.
        timesteps: where to evaluate it, descending; see ``timesteps``.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
    """
    timesteps = _checked(schedule, timesteps)
    n = len(timesteps)
    chain = respace(schedule, timesteps)  # its step n - 1 - i is our i-th

    def step(
        denoise: Denoiser, x: Array, state: Any, i: Array, keys: Key
    ) -> tuple[Array, Any]:
        x0, _ = _predict(schedule, denoise, x, jnp.asarray(timesteps)[i], clip)
        q = q_posterior(chain, x0, x, jnp.full(x.shape[:1], n - 1 - i))
        z = example_noise(keys, x.shape[1:])
        return q.mean + jnp.sqrt(q.variance) * z, state

    return Solver(n, _no_state, step)


def ddim(
    schedule: Schedule,
    timesteps: np.ndarray,
    eta: float = 0.0,
    *,
    previous: np.ndarray | None = None,
    set_alpha_to_one: bool = True,
    clip: float | None = None,
) -> Solver:
    """Denoising diffusion implicit models; Song et al. 2021, eq. 12 and 16.

    Args:
        schedule: what the network was trained on.
        timesteps: where to evaluate it, descending; see ``timesteps``.
        eta: 0, no noise, to 1, the noise of ancestral sampling.
        previous: where each step lands, negative for the data; left out, where the
            next one begins. diffusers lands at ``timesteps - T // n``, which is
            elsewhere unless the spacing is leading or divides T.
        set_alpha_to_one: the last step lands on the data, alpha_bar = 1. False: on
            alpha_bar of timestep 0, as latent diffusion models were published.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.

    Raises:
        UserError: impossible timesteps, or eta outside 0..1.
    """
    timesteps = _checked(schedule, timesteps)
    if not 0 <= eta <= 1:
        raise UserError(f"ddim: eta must be in 0..1, got {eta}")
    previous = np.append(timesteps[1:], -1) if previous is None else previous
    if len(previous) != len(timesteps) or np.any(previous >= timesteps):
        raise UserError(
            "ddim: previous must hold an earlier timestep for each of timesteps"
        )
    final = 1.0 if set_alpha_to_one else schedule.alpha_bars[0]
    alpha_bar = schedule.alpha_bars[timesteps]
    alpha_bar_prev = np.where(previous < 0, final, schedule.alpha_bars[previous])
    variance = (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)
    std = eta * np.sqrt(variance)  # eq. 16
    # Not negative but by rounding, where eta = 1 and nearly all noise goes at once.
    onward = np.sqrt(np.maximum(1 - alpha_bar_prev - std**2, 0))

    def step(
        denoise: Denoiser, x: Array, state: Any, i: Array, keys: Key
    ) -> tuple[Array, Any]:
        x0, eps = _predict(schedule, denoise, x, jnp.asarray(timesteps)[i], clip)
        x = gather(np.sqrt(alpha_bar_prev), i) * x0 + gather(onward, i) * eps  # eq. 12
        if eta > 0:
            x = x + gather(std, i) * example_noise(keys, x.shape[1:])
        return x, state

    return Solver(len(timesteps), _no_state, step)


def _no_state(x: Array) -> tuple[()]:
    """A one-step method remembers nothing."""
    return ()


def _checked(schedule: Schedule, timesteps: np.ndarray) -> np.ndarray:
    """Timesteps as int32 [n], refused where no chain can walk them."""
    grid = np.asarray(timesteps)
    if (
        grid.ndim != 1
        or not grid.size
        or not np.issubdtype(grid.dtype, np.integer)
        or np.any(np.diff(grid) >= 0)
        or not 0 <= grid[-1] <= grid[0] < schedule.steps
    ):
        raise UserError(
            f"solver: timesteps must be descending integers in 0..{schedule.steps - 1}"
            f" (the steps of the {schedule.name} schedule), got {grid}"
        )
    return grid.astype(np.int32)


def _predict(
    schedule: Schedule, denoise: Denoiser, x: Array, t: Array, clip: float | None
) -> tuple[Array, Array]:
    """What the denoiser says of ``x`` at ``t`` (a scalar): x_0 and eps, consistent."""
    t = jnp.full(x.shape[:1], t)
    eps = denoise(x, t).astype(x.dtype)
    if eps.shape != x.shape:
        raise UserError(
            f"solver: expected a prediction of shape {x.shape}, got {eps.shape}; check "
            "the denoiser"
        )
    x0 = predict_x0(schedule, x, t, eps)
    if clip is not None:
        x0 = jnp.clip(x0, -clip, clip)
        eps = predict_eps(schedule, x, t, x0)
    return x0, eps
