"""Likelihoods of optimal denoisers, whose data have a known density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.likelihood import (
    bits_per_dim,
    log_snr_range,
    ode_likelihood,
    variational_bound,
)
from diffusion_audio.diffusion.prediction import target
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.errors import UserError

CHAIN = make_schedule("linear", 400, beta_end=0.05)
KEY = jax.random.key(2)
MEAN, STD = np.array([0.5, -1.0]), np.array([0.6, 1.3])
CENTRES = np.array([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]])
SPREAD = 0.3


def mixture_log_density(x, variance, centres):
    """Of an even mixture of round Gaussians in the plane; x [2]."""
    square = jnp.square(x[None] - centres).sum(axis=1)
    norm = jnp.log(2 * jnp.pi * variance * len(CENTRES))
    return jax.nn.logsumexp(-square / (2 * variance)) - norm


def mixture_denoiser(process, prediction):
    """eps = -sigma grad log p(x_t), said as any kind of prediction."""
    scale = 1 if hasattr(process, "steps") else 1000

    def denoise(x, t):
        t = t / scale
        alpha, sigma = process.alpha(t)[0], process.sigma(t)[0]
        variance = (alpha * SPREAD) ** 2 + sigma**2
        centres = alpha * jnp.asarray(CENTRES, jnp.float32)
        score = jax.vmap(jax.grad(lambda x: mixture_log_density(x, variance, centres)))
        eps = -sigma * score(x)
        x0 = (x - sigma * eps) / alpha
        return target(prediction, x0, eps, alpha, sigma)

    return denoise


def mixture_data(count):
    rng = np.random.default_rng(0)
    draws = CENTRES[rng.integers(0, 3, count)] + SPREAD * rng.normal(size=(count, 2))
    return jnp.asarray(draws, jnp.float32)


@pytest.mark.parametrize(
    ("process", "prediction"),
    [(CHAIN, "epsilon"), (RectifiedFlow(), "velocity")],
    ids=["chain", "flow"],
)
def test_ode_likelihood_within_its_error_bar(process, prediction):
    x0 = mixture_data(64)
    found = jax.jit(
        lambda x0, key: ode_likelihood(
            mixture_denoiser(process, prediction),
            process,
            x0,
            key,
            prediction=prediction,
            steps=64,
            probes=16,
        )
    )(x0, KEY)
    start, _ = log_snr_range(process)  # the path begins with some noise
    smooth = SPREAD**2 + np.exp(-start)
    density = jax.vmap(lambda x: mixture_log_density(x, smooth, jnp.asarray(CENTRES)))
    error = found.log_density - density(jnp.asarray(x0, jnp.float32))
    # Student's t with 15 degrees of freedom, and what the steps may be off.
    z = np.asarray(error / (found.trace_error + found.step_error + 1e-3))
    assert np.mean(np.abs(z) < stats.t(15).ppf(0.975)) > 0.85
    assert np.abs(z).max() < 6
    assert np.sqrt(np.mean(z**2)) > 0.5  # nor is the error bar too long
    assert found.step_error.max() < 0.1
    assert 0 < found.trace_error.mean() < 0.3
    assert np.abs(error.mean()) < 0.05


def test_bound_is_above_the_exact_nll_and_close():
    x0 = jnp.asarray(
        MEAN + STD * np.random.default_rng(0).normal(size=(4000, 2)), jnp.float32
    )

    def denoise(x, t):
        alpha, sigma = CHAIN.alpha(t)[:, None], CHAIN.sigma(t)[:, None]
        mean, variance = jnp.asarray(MEAN, x.dtype), jnp.asarray(STD, x.dtype) ** 2
        spread = jnp.square(alpha) * variance[None] + jnp.square(sigma)
        return sigma * (x - alpha * mean[None]) / spread

    def bound(variance):
        return jax.jit(
            lambda x0: variational_bound(denoise, CHAIN, x0, KEY, variance=variance)
        )(x0)

    exact = -stats.norm(MEAN, STD).logpdf(x0).sum(axis=1)
    # Data of some width want the larger of the two variances (Ho et al., 3.2).
    for variance, loosest in (("beta", 0.1), ("beta_tilde", 3.0)):
        found = bound(variance)
        assert found.terms.shape == (400, 4000)
        gap = np.asarray(found.total - exact)
        noise = gap.std() / np.sqrt(len(gap))
        assert gap.mean() > -2 * noise
        assert gap.mean() < loosest
        # All of it but the reconstruction is a divergence, so none is negative.
        assert found.terms[1:].min() > -1e-5
        assert found.prior.min() > -1e-6
    bits = bits_per_dim(found.total, x0)
    np.testing.assert_allclose(bits, found.total / 2 / np.log(2), rtol=1e-6)


@pytest.mark.parametrize("options", [{"steps": 3}, {"steps": 0}, {"probes": 0}])
def test_impossible_paths(options):
    with pytest.raises(UserError, match="an even number of steps and one probe"):
        ode_likelihood(lambda x, t: x, CHAIN, jnp.zeros((1, 2)), KEY, **options)


def test_each_term_of_the_bound_has_noise_of_its_own():
    """A network that says 0 of pure noise is as far off as that noise is long."""
    chain = make_schedule("linear", 20)
    x0 = jnp.zeros((2, 3))
    found = variational_bound(lambda x, t: 0 * x, chain, x0, KEY)
    lengths = found.terms[1:, 0] / found.terms[1:, 1]
    assert np.log(lengths).std() > 0.3
