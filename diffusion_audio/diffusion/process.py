"""The forward chain of DDPM (Ho et al. 2020, arXiv:2006.11239) and its posterior.

What needs only x_t = alpha x_0 + sigma eps works on any ``Process``; what needs steps
takes a ``Schedule``. Nothing random is drawn here: the standard normal ``eps`` is an
argument.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion import families
from diffusion_audio.diffusion.choice import choose
from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.schedule import (
    Schedule,
    gather,
    make_schedule,
    per_example,
)


class Process(Protocol):
    """How data become noise: x_t = alpha x_0 + sigma eps in the process's own time.

    A constant under jit. Two are known: ``Schedule``, a chain whose t is a step, and
    ``RectifiedFlow``, whose t lies in [0, 1].
    """

    @property
    def pure_noise(self) -> bool:
        """Whether alpha is 0 at the end, where epsilon does not determine x_0."""
        ...

    def alpha(self, t: Array) -> Array:
        """Factor on the data."""
        ...

    def sigma(self, t: Array) -> Array:
        """Factor on the noise."""
        ...

    def log_snr(self, t: Array) -> Array:
        """Log of alpha^2 / sigma^2, falling in t and finite."""
        ...

    def time_of(self, log_snr: np.ndarray) -> np.ndarray:
        """Inverse of ``log_snr`` over real times, float64 on the host."""
        ...

    def levels(self, log_snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Alpha and sigma where log SNR is this, float64 on the host."""
        ...

    def time(self, u: Array) -> Array:
        """The t at a share u in [0, 1) of the way to noise."""
        ...

    def share(self, t: Array) -> Array:
        """The share of the way that lies before t, in [0, 1]."""
        ...

    def network_time(self, t: Array) -> Array:
        """The time as a network takes it, in steps of about a thousand."""
        ...


def make_process(name: str, **options: Any) -> Process:
    """A process by name: ``rectified_flow``, or a family of ``make_schedule``.

    Raises:
        UserError: an unknown name or option, or one out of its range.
    """
    if name in families.FAMILIES:
        return make_schedule(name, **options)
    table = dict(families.FAMILIES) | {"rectified_flow": RectifiedFlow}
    process: Process = choose("process", table, name, options)
    return process


class Gaussian(NamedTuple):
    """A normal distribution with one variance per example.

    Attributes:
        mean: [B, ...].
        variance: [B, 1, ...], ready to multiply the mean.
        log_variance: the same shape; finite also where the variance is 0.
    """

    mean: Array
    variance: Array
    log_variance: Array


def q_step(schedule: Schedule, x_prev: Array, t: Array, eps: Array) -> Array:
    """One step of the chain, a draw from q(x_t | x_{t-1}); eq. 2.

    x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps. The factor sqrt(1 - beta_t)
    shrinks what is there by as much as the noise adds: variance v becomes
    (1 - beta_t) v + beta_t, so data of unit variance keep unit variance at every t
    (a network sees inputs of one scale), and any start forgets itself and tends to
    N(0, I), from which sampling can therefore begin. Without the factor the variance
    would grow without bound and the chain would have no fixed end.

    Args:
        schedule: of the chain.
        x_prev: x_{t-1}, [B, ...]; the data x_0 where t = 0.
        t: int32 [B].
        eps: standard normal, shaped like ``x_prev``.
    """
    shrink = per_example(gather(np.sqrt(1 - schedule.betas), t), x_prev)
    spread = per_example(gather(np.sqrt(schedule.betas), t), x_prev)
    return shrink * x_prev + spread * eps


def q_trajectory(schedule: Schedule, x0: Array, eps: Array) -> Array:
    """The whole chain, a draw from the joint q(x_{1:T} | x_0); eq. 2, left.

    The joint is the product of the one-step kernels, so a draw is a walk.

    Args:
        schedule: of the chain, T steps.
        x0: data, [B, ...].
        eps: standard normal, [T, B, ...].

    Returns:
        Every x_t, [T, B, ...].
    """

    def body(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        t, noise = inputs
        x = q_step(schedule, x, jnp.full(x.shape[:1], t), noise)
        return x, x

    steps = jnp.arange(schedule.steps, dtype=jnp.int32)
    return jax.lax.scan(body, x0, (steps, eps))[1]


def q_sample(process: Process, x0: Array, t: Array, eps: Array) -> Array:
    """A draw from the marginal q(x_t | x_0) in one go; eq. 4.

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps: the composition of
    t + 1 steps of ``q_step``, since a sum of Gaussians is Gaussian.

    Args:
        process: a chain, or another process.
        x0: data, [B, ...].
        t: times of the process, [B].
        eps: standard normal, shaped like ``x0``.
    """
    alpha = per_example(process.alpha(t), x0)
    sigma = per_example(process.sigma(t), x0)
    return alpha * x0 + sigma * eps


def snr(process: Process, t: Array) -> Array:
    """Signal-to-noise ratio alpha^2 / sigma^2; Kingma et al. 2021 (VDM), eq. 2."""
    return jnp.square(process.alpha(t) / process.sigma(t))


def q_posterior(schedule: Schedule, x0: Array, xt: Array, t: Array) -> Gaussian:
    """The step back when x_0 is known, q(x_{t-1} | x_t, x_0); eq. 6 and 7.

    Args:
        schedule: of the chain.
        x0: data, or a prediction of it, [B, ...].
        xt: [B, ...].
        t: int32 [B].

    Returns:
        The Gaussian with mean mu-tilde and variance beta-tilde. At t = 0 the answer
        is x_0 itself and the variance is 0; there ``log_variance`` is that of t = 1,
        as in Ho et al.'s code.
    """
    beta, alpha_bar = schedule.betas, schedule.alpha_bars
    alpha_bar_prev = np.append(1.0, alpha_bar[:-1])
    on_x0 = np.sqrt(alpha_bar_prev) * beta / (1 - alpha_bar)
    on_xt = np.sqrt(1 - beta) * (1 - alpha_bar_prev) / (1 - alpha_bar)
    variance = (1 - alpha_bar_prev) / (1 - alpha_bar) * beta
    first = variance[1] if schedule.steps > 1 else beta[0]
    log_variance = np.log(np.append(first, variance[1:]))
    return Gaussian(
        per_example(gather(on_x0, t), x0) * x0 + per_example(gather(on_xt, t), xt) * xt,
        per_example(gather(variance, t), xt),
        per_example(gather(log_variance, t), xt),
    )


def prior_kl(schedule: Schedule, x0: Array) -> Array:
    """KL from q(x_T | x_0) to N(0, I), in nats per example, [B]; L_T of eq. 5.

    What the chain's end still knows of the data: sampling that starts from N(0, I) is
    honest only where this is small.
    """
    alpha_bar = schedule.alpha_bars[-1]
    rest = float(-alpha_bar - np.log1p(-alpha_bar))
    terms = 0.5 * (float(alpha_bar) * jnp.square(x0) + rest)
    return terms.sum(axis=tuple(range(1, x0.ndim)))
