"""How probable a model finds data: the variational bound, and the exact density.

Both are of continuous data, in nats per example; `bits_per_dim` makes them comparable
between sizes (and negative where the density is high). ``denoise(x, t)`` predicts at
the network's own time, as for samplers.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.prediction import to_x0_eps
from diffusion_audio.diffusion.process import Process, prior_kl, q_sample
from diffusion_audio.diffusion.reverse import bound_term, p_reverse
from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.errors import UserError

Denoiser = Callable[[Array, Array], Array]

# The fourth-order method, a row a stage: half steps on, how far along the last slope,
# and the weight of the new one.
RUNGE_KUTTA = (
    np.array([0, 1, 1, 2], np.int32),
    np.array([0, 1 / 2, 1 / 2, 1], np.float32),
    np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6], np.float32),
)


class Bound(NamedTuple):
    """The variational bound term by term, in nats per example.

    Attributes:
        prior: L_T, what the end of the chain still knows, [B].
        terms: L_t, float32 [T, B]; the first is the reconstruction, L_0.
    """

    prior: Array
    terms: Array

    @property
    def total(self) -> Array:
        """An upper bound of the mean negative log-likelihood, [B]."""
        return self.prior + self.terms.sum(axis=0)


class Likelihood(NamedTuple):
    """The log density of each example in nats, and how far it may be off.

    Attributes:
        log_density: of the data, [B].
        trace_error: standard error of the mean over probes of the trace, [B]; it is
            not finite for one probe.
        step_error: what halving the number of steps changes, [B].
    """

    log_density: Array
    trace_error: Array
    step_error: Array


def bits_per_dim(nats: Array, x0: Array) -> Array:
    """Nats per example as bits per dimension of that example."""
    return nats / (x0[0].size * math.log(2))


def variational_bound(
    denoise: Denoiser,
    schedule: Schedule,
    x0: Array,
    key: Key,
    *,
    prediction: str = "epsilon",
    variance: str = "beta_tilde",
    indices: Array | None = None,
) -> Bound:
    """The bound of Ho et al. 2020, eq. 5, with one draw of x_t for each of T terms.

    One network evaluation a step of the chain, in one ``lax.scan``. The noise belongs
    to the example, as in `sampling.sample`.

    Args:
        denoise: ``denoise(xt, t) -> prediction``.
        schedule: of the chain.
        x0: data, [B, ...].
        key: of the draws of x_t.
        prediction: kind of the prediction.
        variance: of the reverse steps; see ``reverse.p_reverse``.
        indices: int32 [B], places of the examples; those in this batch if left out.
    """
    places = jnp.arange(len(x0), dtype=jnp.int32) if indices is None else indices

    def term(_: None, step: Array) -> tuple[None, Array]:
        t = jnp.full(len(x0), step)
        keys = example_keys(jax.random.fold_in(key, step), places)
        xt = q_sample(schedule, x0, t, example_noise(keys, x0.shape[1:]))
        output = denoise(xt, schedule.network_time(t)).astype(jnp.float32)
        p = p_reverse(schedule, prediction, output, xt, t, variance)
        return None, bound_term(schedule, x0, xt, t, p)

    steps = jnp.arange(schedule.steps, dtype=jnp.int32)
    return Bound(prior_kl(schedule, x0), jax.lax.scan(term, None, steps)[1])


def ode_likelihood(
    denoise: Denoiser,
    process: Process,
    x0: Array,
    key: Key,
    *,
    prediction: str = "epsilon",
    steps: int = 64,
    probes: int = 8,
    log_snr: tuple[float, float] | None = None,
) -> Likelihood:
    """The density under the probability-flow ODE; Song et al. 2021 (SDE), section 4.3.

    In y = x / alpha and s = sigma / alpha the ODE of every process is dy/ds = eps
    (Karras et al. 2022, section 3: dx/dsigma), so along it log p(y) changes by
    -tr(d eps / dy) ds, and p is known at the end, where x is N(0, I). The trace is
    estimated by z . (d eps / dy) z with z of random signs (Hutchinson 1990), the same z
    all the way; the path is taken by Runge and Kutta's fourth-order steps, even in
    log s. What is measured is the density of data with the noise of the start of the
    path added, of deviation s; chains of 1000 steps begin about there.

    Args:
        denoise: ``denoise(xt, t) -> prediction``, at real times too.
        process: any process.
        x0: data, [B, ...].
        key: of the probes.
        prediction: kind of the prediction.
        steps: of the path, even; each costs 4 (probes + 1) evaluations. The path is
            walked again in half of them, for the error.
        probes: draws of z.
        log_snr: where the path begins and ends; that of the process where left out.

    Raises:
        UserError: an odd number of steps, or no probes.
    """
    if steps < 2 or steps % 2 or probes < 1:
        raise UserError(
            "ode_likelihood: expected an even number of steps and one probe or more, "
            f"got steps={steps} and probes={probes}"
        )
    signs = jax.random.rademacher(key, (probes, *x0.shape), jnp.float32)
    fine = _path(denoise, process, x0, signs, prediction, steps, log_snr)
    coarse = _path(denoise, process, x0, signs, prediction, steps // 2, log_snr)
    mean = fine.mean(axis=0)
    spread = jnp.sqrt(jnp.square(fine - mean[None]).sum(axis=0))
    error = spread / jnp.sqrt(jnp.float32(probes * (probes - 1)))
    return Likelihood(mean, error, jnp.abs(mean - coarse.mean(axis=0)))


def log_snr_range(process: Process) -> tuple[float, float]:
    """Log SNR where a path may begin and end: short of 10^4 times noise or data."""
    with jax.ensure_compile_time_eval():
        edges = process.time(jnp.array([0.0, 1 - 1e-6]))
        first, last = np.asarray(process.log_snr(edges), np.float64)
    most = 2 * math.log(1e4)
    return float(min(first, most)), float(max(last, -most))


def _path(
    denoise: Denoiser,
    process: Process,
    x0: Array,
    signs: Array,
    prediction: str,
    steps: int,
    log_snr: tuple[float, float] | None,
) -> Array:
    """Log density by each probe, [probes, B], in so many steps."""
    first, last = log_snr_range(process) if log_snr is None else log_snr
    knots = np.linspace(first, last, 2 * steps + 1)  # steps and their middles
    times = jnp.asarray(process.time_of(knots), jnp.float32)
    network_times = process.network_time(times)
    alphas, sigmas = (jnp.asarray(a, jnp.float32) for a in process.levels(knots))
    width = (last - first) / steps

    def slope(y: Array, k: Array) -> tuple[Array, Array]:
        """Of y and of log p by each probe, per unit of log SNR, at knot k."""
        alpha, sigma = alphas[k], sigmas[k]
        t = jnp.full(len(y), network_times[k])

        def eps(y: Array) -> Array:
            x = alpha * y
            output = denoise(x, t).astype(jnp.float32)
            return to_x0_eps(prediction, output, x, alpha, sigma)[1]

        value, push = jax.linearize(eps, y)
        traces = jax.lax.map(lambda z: _dot(z, push(z)), signs)
        speed = -0.5 * sigma / alpha  # ds / d log SNR, with s = exp(-log SNR / 2)
        return speed * value, speed * traces

    def step(carry: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], None]:
        def stage(last: Any, row: Any) -> tuple[Any, None]:
            (before, sums), (knot, reach, weight) = last, row
            new = slope(carry[0] + width * reach * before[0], 2 * i + knot)
            return (new, jax.tree.map(lambda s, v: s + weight * v, sums, new)), None

        zero = jax.tree.map(jnp.zeros_like, carry)
        (_, sums), _ = jax.lax.scan(stage, (zero, zero), RUNGE_KUTTA)
        return jax.tree.map(lambda c, s: c + width * s, carry, sums), None

    start = (x0, jnp.zeros(signs.shape[:2]))
    (y, total), _ = jax.lax.scan(step, start, jnp.arange(steps))
    x = alphas[-1] * y
    normal = -0.5 * (jnp.square(x) + math.log(2 * math.pi)) + jnp.log(alphas[-1])
    rest = tuple(range(1, x0.ndim))
    return total + normal.sum(axis=rest)[None]


def _dot(a: Array, b: Array) -> Array:
    """Inner product of each example, [B]."""
    return (a * b).sum(axis=tuple(range(1, a.ndim)))
