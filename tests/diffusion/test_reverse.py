import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffusion_audio.diffusion import reverse
from diffusion_audio.diffusion.prediction import PREDICTIONS, target
from diffusion_audio.diffusion.process import q_posterior, q_sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.errors import UserError

T = 50
S = make_schedule("linear", T, beta_end=0.3)
TIMES = jnp.array([0, 1, 20, T - 1])


@pytest.fixture(scope="module")
def drawn():
    x0, eps = jax.random.normal(jax.random.key(0), (2, 4, 3))
    return x0, eps, q_sample(S, x0, TIMES, eps)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_true_prediction_gives_the_posterior(prediction, drawn):
    x0, eps, xt = drawn
    alpha, sigma = S.alpha(TIMES)[:, None], S.sigma(TIMES)[:, None]
    output = target(prediction, x0, eps, alpha, sigma)
    p = reverse.p_reverse(S, prediction, output, xt, TIMES)
    q = q_posterior(S, x0, xt, TIMES)
    np.testing.assert_allclose(p.mean, q.mean, atol=2e-5)
    np.testing.assert_allclose(p.variance[1:], q.variance[1:], rtol=1e-5)
    terms = reverse.bound_term(S, x0, xt, TIMES, p)
    np.testing.assert_allclose(terms[1:], np.zeros(3), atol=1e-5)


def test_variances(drawn):
    _, eps, xt = drawn
    t = np.asarray(TIMES)
    low = np.log(np.asarray(q_posterior(S, eps, xt, TIMES).variance[1:]))

    def log_variance(variance, raw=()):
        output = jnp.concatenate([eps, *raw], axis=-1)
        p = reverse.p_reverse(S, "epsilon", output, xt, TIMES, variance)
        np.testing.assert_allclose(p.variance, np.exp(p.log_variance), rtol=1e-5)
        return p.log_variance

    high = np.log(S.betas[t])[:, None]
    np.testing.assert_allclose(log_variance("beta"), high, rtol=1e-5)
    np.testing.assert_allclose(log_variance("beta_tilde")[1:], low, rtol=1e-5)
    # Eq. 15: v = (raw + 1) / 2 goes from beta-tilde to beta.
    for raw, v in ((-1.0, 0.0), (1.0, 1.0), (0.5, 0.75)):
        expected = v * high[1:] + (1 - v) * low
        got = log_variance("learned_range", [jnp.full((4, 3), raw)])[1:]
        np.testing.assert_allclose(got, np.broadcast_to(expected, (3, 3)), rtol=1e-4)


def test_bound_terms_by_the_textbook(drawn):
    x0, eps, xt = drawn
    p = reverse.p_reverse(S, "epsilon", 0.5 * eps, xt, TIMES, "beta")
    terms = reverse.bound_term(S, x0, xt, TIMES, p)
    q = q_posterior(S, x0, xt, TIMES)
    density = stats.norm(p.mean[0], np.sqrt(p.variance[0])).logpdf(x0[0]).sum()
    np.testing.assert_allclose(terms[0], -density, rtol=1e-5)
    for i in (1, 2, 3):
        q_var, p_var = float(q.variance[i, 0]), float(p.variance[i, 0])
        gap = np.square(q.mean[i] - p.mean[i]).sum()
        kl = 0.5 * (3 * (np.log(p_var / q_var) + q_var / p_var - 1) + gap / p_var)
        np.testing.assert_allclose(terms[i], kl, rtol=1e-4)


def test_the_best_variance_of_gaussian_data():
    # For data N(0, 1) the true reverse variance is beta_t itself (Ho et al., 3.2).
    xt, t = jnp.zeros((1, 1)), jnp.array([20])
    draws = np.random.default_rng(0).standard_normal((50_000, 2)).astype(np.float32)
    sigma = S.sigma(t)[:, None]
    x0 = sigma * draws[:, :1]  # x_0 given x_t = 0
    before = q_posterior(S, x0, jnp.zeros((50_000, 1)), t.repeat(50_000))
    x_prev = before.mean + jnp.sqrt(before.variance) * draws[:, 1:]
    optimal = sigma * xt  # E[eps | x_t] of the unit Gaussian
    p = reverse.p_reverse(S, "epsilon", optimal, xt, t, "beta")
    np.testing.assert_allclose(x_prev.var(), float(p.variance[0, 0]), rtol=0.02)


def test_mistakes(drawn):
    _, eps, xt = drawn
    with pytest.raises(UserError, match="did you mean 'beta_tilde'"):
        reverse.p_reverse(S, "epsilon", eps, xt, TIMES, "beta_tilda")
    with pytest.raises(UserError, match="twice the channels of the data, got 3"):
        reverse.p_reverse(S, "epsilon", eps, xt, TIMES, "learned_range")
