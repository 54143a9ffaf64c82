import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion import process
from diffusion_audio.diffusion.schedule import Schedule, make_schedule

T = 60
SCHEDULES = [
    make_schedule("linear", T, beta_end=0.3),
    make_schedule("scaled_linear", T, beta_end=0.2),
    make_schedule("cosine", T),
    make_schedule("karras", T),
    make_schedule("sigmoid", T, zero_terminal_snr=True),
]
each_schedule = pytest.mark.parametrize("s", SCHEDULES, ids=lambda s: s.name)


@each_schedule
def test_composed_steps_are_the_marginal(s):
    # Eq. 2 composed is eq. 4. The walk is linear in x_0 and in the noise of each step:
    # one example starts at 1 without noise, each other has noise in one step only.
    x0 = jnp.eye(T + 1)[:, :1]
    eps = jnp.concatenate([jnp.zeros((T, 1)), jnp.eye(T)], axis=1)[..., None]
    xs = np.asarray(process.q_trajectory(s, x0, eps), np.float64)[..., 0]  # [T, 1 + T]
    np.testing.assert_allclose(xs[:, 0], np.sqrt(s.alpha_bars), rtol=2e-6)
    np.testing.assert_allclose((xs[:, 1:] ** 2).sum(1), 1 - s.alpha_bars, rtol=5e-6)
    assert np.all(np.triu(xs[:, 1:], 1) == 0)  # no step sees later noise


@each_schedule
def test_one_step_from_the_data_is_the_marginal(s):
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    t = jnp.zeros(3, jnp.int32)
    np.testing.assert_allclose(
        process.q_step(s, x0, t, eps), process.q_sample(s, x0, t, eps), atol=1e-6
    )


def test_unit_variance_is_kept():
    s = SCHEDULES[0]
    one = 1 - s.betas + s.betas
    marginal = s.alpha_bars + (1 - s.alpha_bars)
    np.testing.assert_array_equal([one, marginal], 1)
    x = jax.random.normal(jax.random.key(1), (20_000, 1))
    eps = jax.random.normal(jax.random.key(2), (T, 20_000, 1))
    xs = process.q_trajectory(s, x, eps)
    np.testing.assert_allclose(xs.std(axis=(1, 2)), 1, atol=0.025)


@each_schedule
@pytest.mark.parametrize("t", [1, 7, T - 1])
def test_posterior_by_bayes(s, t):
    # q(x_{t-1} | x_t, x_0) ~ q(x_t | x_{t-1}) q(x_{t-1} | x_0), products of Gaussians.
    x0, xt = np.float64(0.7), np.float64(-1.3)
    beta, alpha_bar_prev = s.betas[t], s.alpha_bars[t - 1]
    precision = (1 - beta) / beta + 1 / (1 - alpha_bar_prev)
    weighed = np.sqrt(1 - beta) / beta * xt
    weighed += np.sqrt(alpha_bar_prev) / (1 - alpha_bar_prev) * x0
    q = process.q_posterior(
        s, jnp.full((1, 2), 0.7), jnp.full((1, 2), -1.3), jnp.array([t])
    )
    assert q.mean.shape == (1, 2)
    assert q.variance.shape == q.log_variance.shape == (1, 1)
    np.testing.assert_allclose(q.mean, weighed / precision, rtol=3e-6, atol=1e-6)
    np.testing.assert_allclose(q.variance, 1 / precision, rtol=2e-6)
    np.testing.assert_allclose(q.log_variance, -np.log(precision), atol=1e-5)


@each_schedule
def test_posterior_of_the_first_step_is_the_data(s):
    x0, xt = jax.random.normal(jax.random.key(0), (2, 3, 4))
    q = process.q_posterior(s, x0, xt, jnp.zeros(3, jnp.int32))
    np.testing.assert_allclose(q.mean, x0, atol=1e-6)
    assert np.all(q.variance == 0)
    second = process.q_posterior(s, x0, xt, jnp.ones(3, jnp.int32))
    np.testing.assert_array_equal(q.log_variance, second.log_variance)


def test_posterior_of_a_chain_of_one_step():
    s = Schedule("one", np.array([0.9]))
    x = jnp.ones((1, 2))
    q = process.q_posterior(s, x, 3 * x, jnp.array([0]))
    np.testing.assert_allclose(q.mean, x)
    np.testing.assert_allclose(q.log_variance, np.log([[0.9]]), rtol=1e-6)


@each_schedule
def test_each_example_has_its_own_timestep(s):
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    t = jnp.array([0, 30, T - 1])
    together = process.q_sample(s, x0, t, eps)
    posterior = process.q_posterior(s, x0, eps, t)
    for i in range(3):
        one = slice(i, i + 1)
        alone = process.q_sample(s, x0[one], t[one], eps[one])
        np.testing.assert_allclose(together[one], alone, rtol=1e-6)
        alone = process.q_posterior(s, x0[one], eps[one], t[one])
        np.testing.assert_allclose(posterior.mean[one], alone.mean, rtol=1e-6)


def test_prior_kl():
    # Ho et al., section 4: L_T is about 1e-5 bits per dimension on CIFAR-10.
    x0 = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3), minval=-1, maxval=1)
    kl = process.prior_kl(make_schedule("linear"), x0)
    assert kl.shape == (2,)
    bits = np.asarray(kl) / (32 * 32 * 3) / np.log(2)
    assert np.all((bits > 5e-6) & (bits < 2e-5))
    # Against the textbook formula where the chain is short and the KL is large.
    s = make_schedule("linear", 10)
    mean, variance = np.sqrt(s.alpha_bars[-1]) * np.array([0.5, -2.0]), s.betas[-1]
    variance = 1 - s.alpha_bars[-1]
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum()
    got = process.prior_kl(s, jnp.array([[0.5, -2.0]]))
    np.testing.assert_allclose(got, [expected], rtol=1e-5)
