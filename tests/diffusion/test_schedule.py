import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.schedule import (
    Schedule,
    gather,
    make_schedule,
    per_example,
    respace,
)
from diffusion_audio.errors import UserError

ALL = ["linear", "scaled_linear", "cosine"]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("linear", 1e-4, 0.02), ("scaled_linear", 0.00085, 0.012)],
)
def test_published_betas(name, first, last):
    betas = make_schedule(name).betas
    assert betas.dtype == np.float64
    np.testing.assert_allclose([betas[0], betas[-1]], [first, last], rtol=1e-12)


def test_published_ends():
    # Karras et al. and k-diffusion give Stable Diffusion's sigma / alpha as these.
    stable = make_schedule("scaled_linear").alpha_bars
    ratio = np.sqrt((1 - stable) / stable)
    np.testing.assert_allclose(ratio[[0, -1]], [0.0292, 14.6146], atol=5e-5)
    # Lin et al. 2023, table 1: SNR and sqrt(alpha_bar) at the last step.
    linear, cosine = make_schedule("linear"), make_schedule("cosine")
    np.testing.assert_allclose(np.sqrt(linear.alpha_bars[-1]), 0.006353, atol=5e-7)
    np.testing.assert_allclose(np.sqrt(cosine.alpha_bars[-1]), 4.928e-05, atol=5e-8)
    np.testing.assert_allclose(np.sqrt(stable[-1]), 0.068265, atol=5e-7)


def test_cosine_follows_the_paper():
    s = make_schedule("cosine")
    t = np.arange(1, 1000) / 1000  # all but the last, which the cap of 0.999 moves
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    f0 = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(s.alpha_bars[:-1], f / f0, rtol=1e-9)
    assert s.betas.max() == 0.999


@pytest.mark.parametrize("name", ALL)
def test_methods_agree_with_float64(name):
    s = make_schedule(name, 100)
    t = jnp.arange(100, dtype=jnp.int32).reshape(20, 5)
    alpha, sigma, log_snr = s.alpha(t), s.sigma(t), s.log_snr(t)
    assert alpha.shape == (20, 5)
    assert alpha.dtype == sigma.dtype == log_snr.dtype == jnp.float32
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=1e-6)
    np.testing.assert_allclose(s.alpha_bar(t), alpha**2, rtol=1e-6)
    np.testing.assert_allclose(log_snr, 2 * np.log(alpha / sigma), atol=1e-5)
    np.testing.assert_allclose(s.beta(t).ravel(), s.betas, rtol=1e-6)
    assert np.all(np.diff(log_snr.ravel()) < 0)


def test_small_noise_keeps_its_digits():
    s = Schedule("tiny", np.full(3, 1e-9))  # 1 - alpha_bar is 0 in float32
    expected = np.sqrt(1 - (1 - 1e-9) ** np.arange(1, 4))
    np.testing.assert_allclose(s.sigma(jnp.arange(3)), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_respacing_keeps_the_marginals(name):
    s = make_schedule(name, 100)
    grid = np.array([90, 50, 49, 3])
    short = respace(s, grid)
    np.testing.assert_allclose(short.alpha_bars, s.alpha_bars[grid[::-1]], rtol=1e-12)
    np.testing.assert_allclose(respace(s, np.arange(100)[::-1]).betas, s.betas)


def test_schedule_is_a_constant_under_jit():
    traces = []

    @jax.jit
    def sigma(schedule, t):
        traces.append(t)
        return schedule.sigma(t)

    for steps in (10, 10, 20):  # equal schedules share a program, others do not
        sigma(make_schedule("linear", steps), jnp.array([3]))
    assert len(traces) == 2
    assert make_schedule() == make_schedule() != make_schedule("cosine")
    with pytest.raises(ValueError, match="read-only"):
        make_schedule().betas[0] = 1


def test_gather_and_per_example():
    t = jnp.array([2, 0])
    values = gather(np.array([1.0, 2.0, 3.0]), t)
    assert values.tolist() == [3.0, 1.0]
    x = jnp.ones((2, 3, 4))
    assert (per_example(values, x) * x)[:, 0, 0].tolist() == [3.0, 1.0]
    assert (per_example(jnp.float32(2), x) * x).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "scaled_linaer"}, "did you mean 'scaled_linear'"),
        ({"steps": 0}, "1 or more, got 0"),
        ({"steps": 10.5}, "an integer"),
        ({"beta_start": 0.0}, "0 < beta_start"),
        ({"beta_start": -0.1}, "0 < beta_start"),
        ({"beta_end": 1.0}, "beta_end < 1"),
        ({"beta_end": float("nan")}, "beta_end=nan"),
        ({"beta_start": 0.03}, "beta_start=0.03 and beta_end=0.02"),
        ({"name": "cosine", "beta_end": 0.02}, "remove beta_start"),
        ({"beta_end": 0.9}, "nothing of the data is left"),
    ],
)
def test_impossible_schedules(arguments, message):
    with pytest.raises(UserError, match=message):
        make_schedule(**arguments)


@pytest.mark.parametrize("betas", [[], [0.1, 1.0], [[0.1]], [0.1, np.nan]])
def test_impossible_tables(betas):
    with pytest.raises(UserError, match="between 0 and 1"):
        Schedule("mine", np.array(betas))
