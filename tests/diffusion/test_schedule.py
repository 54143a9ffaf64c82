import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion import families
from diffusion_audio.diffusion.schedule import (
    Schedule,
    gather,
    make_schedule,
    per_example,
)
from diffusion_audio.errors import UserError

ALL = list(families.FAMILIES)


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
    np.testing.assert_allclose(s.log_snrs, log_snr.ravel(), rtol=1e-6, atol=1e-6)


def test_small_noise_keeps_its_digits():
    s = Schedule("tiny", np.full(3, 1e-9))  # 1 - alpha_bar is 0 in float32
    expected = np.sqrt(1 - (1 - 1e-9) ** np.arange(1, 4))
    np.testing.assert_allclose(s.sigma(jnp.arange(3)), expected, rtol=1e-6)


def test_sigmoid_follows_the_paper():
    # Chen 2023, algorithm 1, written again.
    s = make_schedule("sigmoid", start=0, end=3, tau=0.5)
    t = np.arange(1, 1000) / 1000

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    v_start, v_end = logistic(0 / 0.5), logistic(3 / 0.5)
    gamma = (v_end - logistic((t * 3 + 0) / 0.5)) / (v_end - v_start)
    np.testing.assert_allclose(s.alpha_bars[:-1], gamma, rtol=1e-9)


@pytest.mark.parametrize("rho", [7.0, 3.0])
def test_karras_follows_the_paper(rho):
    # Karras et al. 2022, eq. 5, whose indices run from noise to data.
    s, i = make_schedule("karras", 18, rho=rho), np.arange(18)
    ends = 80 ** (1 / rho), 0.002 ** (1 / rho)
    sigmas = (ends[0] + i / 17 * (ends[1] - ends[0])) ** rho
    ratio = np.sqrt((1 - s.alpha_bars) / s.alpha_bars)
    np.testing.assert_allclose(ratio[::-1], sigmas, rtol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_shift_lowers_log_snr(name):
    plain, moved = make_schedule(name, 100), make_schedule(name, 100, shift=4.0)
    lowered = np.full(100, 2 * np.log(4))
    np.testing.assert_allclose(plain.log_snrs - moved.log_snrs, lowered, rtol=1e-9)
    assert make_schedule(name, 100, shift=1.0) == plain


@pytest.mark.parametrize("name", ALL)
def test_zero_terminal_snr(name):
    plain, zero = (make_schedule(name, 100, zero_terminal_snr=z) for z in (False, True))
    # Lin et al. 2023, algorithm 1, on a table of sqrt(alpha_bar).
    table = np.sqrt(plain.alpha_bars)
    expected = (table - table[-1]) * table[0] / (table[0] - table[-1])
    np.testing.assert_allclose(np.sqrt(zero.alpha_bars), expected, atol=1e-12)
    last = jnp.array([99])
    assert zero.alpha_bars[-1] == 0
    assert [zero.alpha(last), zero.sigma(last)] == [0, 1]
    assert np.isfinite(zero.log_snr(jnp.arange(100))).all()
    assert np.all(np.diff(zero.log_snrs) < 0)
    assert [zero.pure_noise, plain.pure_noise] == [True, False]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_continuous_time(name, zero):
    s = make_schedule(name, 100, zero_terminal_snr=zero)
    steps = jnp.arange(100)
    for method in (s.alpha, s.sigma, s.log_snr, s.alpha_bar):
        on_steps = method(steps.astype(jnp.float32))
        np.testing.assert_allclose(on_steps, method(steps), rtol=1e-4, atol=1e-6)
    between = s.log_snr(jnp.array([41.25]))
    ends = s.log_snr(jnp.array([41, 42]))
    np.testing.assert_allclose(between, ends @ np.array([0.75, 0.25]), rtol=1e-5)
    level = jnp.array([41.25])
    ratio = s.alpha(level) / s.sigma(level)
    np.testing.assert_allclose(2 * np.log(ratio), between, rtol=1e-4, atol=1e-5)
    t = np.linspace(0, 99, 334)
    log_snr = s.log_snr(jnp.asarray(t, jnp.float32))
    np.testing.assert_allclose(s.time_of(np.asarray(log_snr)), t, atol=2e-3)
    alpha, sigma = s.levels(s.log_snrs)
    np.testing.assert_allclose(alpha, np.sqrt(s.alpha_bars), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(sigma, np.sqrt(1 - s.alpha_bars), rtol=1e-9)


def test_shares_of_the_chain():
    s = make_schedule(steps=10)
    assert s.time(jnp.array([0.0, 0.25, 0.999, 1.0])).tolist() == [0, 2, 9, 9]
    np.testing.assert_allclose(s.share(jnp.array([0, 2, 9])), [0, 0.2, 0.9])
    assert s.network_time(jnp.array([3])).tolist() == [3]


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
        ({"name": "cosine", "beta_end": 0.02}, "option of the cosine noise sch"),
        ({"beta_ned": 0.02}, "did you mean 'beta_end'"),
        ({"name": "karras", "sigma_min": 90.0}, "sigma_min <= sigma_max"),
        ({"name": "karras", "rho": 0.0}, "rho must be above 0"),
        ({"name": "sigmoid", "tau": 0.0}, "tau > 0"),
        ({"name": "sigmoid", "start": 4.0}, "start < end"),
        ({"shift": 0.0}, "shift must be above 0"),
        ({"steps": 1, "zero_terminal_snr": True}, "2 steps or more"),
        ({"beta_end": 0.9}, "nothing of the data is left"),
    ],
)
def test_impossible_schedules(arguments, message):
    with pytest.raises(UserError, match=message):
        make_schedule(**arguments)


@pytest.mark.parametrize("betas", [[], [1.0, 0.1], [1.1], [[0.1]], [0.1, np.nan]])
def test_impossible_tables(betas):
    with pytest.raises(UserError, match="between 0 and 1"):
        Schedule("mine", np.array(betas))
