"""The reverse chain p(x_{t-1} | x_t): Gaussians that a network's output stands for.

The mean is always that of the posterior with the predicted x_0 in place of x_0; the
variance is fixed between the two bounds of Ho et al. 2020, section 3.2, or learned
between them.
"""

import math

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.prediction import to_x0_eps
from diffusion_audio.diffusion.process import Gaussian, q_posterior
from diffusion_audio.diffusion.schedule import Schedule, gather, per_example
from diffusion_audio.errors import UserError, unknown

VARIANCES = ("beta", "beta_tilde", "learned_range")


def split_variance(output: Array) -> tuple[Array, Array]:
    """The two halves of a network's last axis: the prediction, and the variance.

    Raises:
        UserError: the number of channels is odd.
    """
    if output.shape[-1] % 2:
        raise UserError(
            "learned variance: the network must predict twice the channels of the "
            f"data, got {output.shape[-1]}; check its out_channels"
        )
    prediction, raw = jnp.split(output, 2, axis=-1)
    return prediction, raw


def learned_range(raw: Array, low: Array, high: Array) -> Array:
    """Log variance between two bounds; Nichol & Dhariwal 2021, eq. 15.

    v log(beta) + (1 - v) log(beta-tilde) with v = (raw + 1) / 2, as in their code.

    Args:
        raw: of the network, no bounds are put on it.
        low: log of beta-tilde.
        high: log of beta.
    """
    v = (raw + 1) / 2
    return v * high + (1 - v) * low


def p_reverse(
    schedule: Schedule,
    prediction: str,
    output: Array,
    xt: Array,
    t: Array,
    variance: str = "beta_tilde",
) -> Gaussian:
    """The step back that a network's output stands for; Ho et al. 2020, eq. 1 and 11.

    Args:
        schedule: of the chain.
        prediction: kind of the prediction.
        output: of the network, [B, ...]; with ``learned_range`` its last axis is
            doubled, variances last.
        xt: [B, ...].
        t: int32 [B].
        variance: ``beta``, right for data that are pure noise; ``beta_tilde``, right
            for data that are one point (at t = 0 that of t = 1, which is not 0); or
            ``learned_range``, between them.
    """
    if variance not in VARIANCES:
        raise unknown("reverse variance", variance, VARIANCES)
    raw = None
    if variance == "learned_range":
        output, raw = split_variance(output)
    alpha, sigma = (per_example(f(t), xt) for f in (schedule.alpha, schedule.sigma))
    x0, _ = to_x0_eps(prediction, output, xt, alpha, sigma)
    mean, _, low = q_posterior(schedule, x0, xt, t)
    high = per_example(gather(np.log(schedule.betas), t), xt)
    if raw is not None:
        log_variance = learned_range(raw, low, high)
    else:
        log_variance = {"beta": high, "beta_tilde": low}[variance]
    return Gaussian(mean, jnp.exp(log_variance), log_variance)


def bound_term(
    schedule: Schedule, x0: Array, xt: Array, t: Array, p: Gaussian
) -> Array:
    """One term of the variational bound, in nats per example, [B]; eq. 5.

    For t > 0, L_t: KL from the posterior q(x_{t-1} | x_t, x_0) to p. For t = 0, minus
    the log density of x_0 under p, which is that of continuous data.

    Args:
        schedule: of the chain.
        x0: data, [B, ...].
        xt: a draw from q(x_t | x_0).
        t: int32 [B].
        p: the reverse step from ``xt``.
    """
    q = q_posterior(schedule, x0, xt, t)
    distance = jnp.square(q.mean - p.mean) * jnp.exp(-p.log_variance)
    ratio = q.log_variance - p.log_variance
    kl = 0.5 * (jnp.exp(ratio) - 1 - ratio + distance)
    # At t = 0 the mean of q is x_0 itself.
    nll = 0.5 * (math.log(2 * math.pi) + p.log_variance + distance)
    terms = jnp.where(per_example(t, x0) == 0, nll, kl)
    return terms.sum(axis=tuple(range(1, x0.ndim)))
