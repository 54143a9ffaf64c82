"""Solvers against closed forms; ``closed_forms`` knows the optimal denoisers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from diffusion_audio.diffusion.editing import inverse
from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.grid import Grid, make_grid, tail
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.prediction import PREDICTIONS, target
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import (
    SOLVERS,
    ddim,
    ddpm,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    make_solver,
    unipc,
)
from diffusion_audio.errors import UserError
from tests.diffusion.closed_forms import (
    COVARIANCE,
    FRAMES,
    KEY,
    MEAN,
    MIXTURE,
    gaussian,
    log_grid,
    mixture,
    normal,
    run,
    walk,
)

S = make_schedule("linear")
PURE = make_schedule("linear", zero_terminal_snr=True)
NOISY = ("ddpm", "euler_ancestral", "dpmpp_2m_sde")
each_solver = pytest.mark.parametrize("name", SOLVERS)


@each_solver
def test_reaches_a_mixture(name):
    """Quantiles of samples are those of the data: Wasserstein distance in 1-D."""
    n = 4000 if name in NOISY else 500
    share = (np.arange(n) + 0.5) / n
    grid = log_grid(60, highest=60.0, lowest=0.01)
    to_data = Grid(grid.t, np.append(grid.alpha[:-1], 1), np.append(grid.sigma[:-1], 0))
    x = jnp.asarray(scipy.stats.norm.ppf(share), jnp.float32)[:, None]
    solver = make_solver(name, to_data, "x0")
    samples = np.sort(run(solver, mixture(), x)[:, 0])
    weight, mean, std = MIXTURE[:, :, None]
    lowest, highest = np.full((2, n), [[-5.0], [5.0]])
    for _ in range(50):  # inverts the distribution function
        middle = (lowest + highest) / 2
        below = (weight * scipy.stats.norm.cdf((middle - mean) / std)).sum(0) < share
        lowest, highest = (
            np.where(below, middle, lowest),
            np.where(below, highest, middle),
        )
    assert np.abs(samples - lowest).mean() < 0.04


@pytest.mark.slow
def test_ancestral_sampling_of_a_thousand_steps():
    n = 20_000
    values = S.alpha_bars[:, None, None]
    total = values * COVARIANCE + (1 - values) * np.eye(2)
    inverses = jnp.asarray(np.linalg.inv(total), jnp.float32)

    def optimal(x, t):
        centred = x - S.alpha(t)[:, None] * jnp.asarray(MEAN, jnp.float32)[None]
        return S.sigma(t)[:, None] * jnp.einsum("bij,bj->bi", inverses[t], centred)

    x0 = run(ddpm(make_grid(S, 1000)), optimal, normal(0, n))
    # Three standard errors, the variance's being 2 / n of its square.
    error = np.sqrt(np.diag(COVARIANCE) / n)
    assert np.all(np.abs(x0.mean(0) - MEAN) < 3 * error)
    error = np.sqrt((np.outer(*[np.diag(COVARIANCE)] * 2) + COVARIANCE**2) / n)
    assert np.all(np.abs(np.cov(x0.T) - COVARIANCE) < 3 * error)


def optimal_of(process, prediction, x, t):
    """The optimal denoiser of data N(MEAN, COVARIANCE) at any level, also alpha = 0."""
    alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
    values, vectors = np.linalg.eigh(COVARIANCE)
    vectors = jnp.asarray(vectors, jnp.float32)
    values = jnp.asarray(values, jnp.float32)[None]
    total = alpha**2 * values + sigma**2
    centred = (x - alpha * jnp.asarray(MEAN, jnp.float32)[None]) @ vectors
    x0 = jnp.asarray(MEAN, jnp.float32)[None] + (alpha * values / total * centred) @ (
        vectors.T
    )
    eps = (sigma / total * centred) @ vectors.T
    return target(prediction, x0, eps, alpha, sigma)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "heun", "dpmpp_3m", "unipc"])
@pytest.mark.parametrize("process", [RectifiedFlow(), PURE], ids=["flow", "zero_snr"])
def test_from_pure_noise(name, process):
    """alpha = 0 at the start: rectified flow, and chains of zero terminal SNR."""
    prediction = "velocity" if isinstance(process, RectifiedFlow) else "v"
    unit = 1000 if isinstance(process, RectifiedFlow) else 1

    def denoise(x, t):
        return optimal_of(process, prediction, x, t / unit if unit > 1 else t)

    n = 4000 if name in NOISY else 3
    x = normal(2, n) if name in NOISY else jnp.eye(3, 2, -1)
    ends = run(
        make_solver(name, make_grid(process, 100, spacing="trailing"), prediction),
        denoise,
        x,
    )
    if name in NOISY:
        mean, covariance = ends.mean(0), np.cov(ends.T)
    else:  # affine in the start
        mean, matrix = ends[0], (ends[1:] - ends[0]).T
        covariance = matrix @ matrix.T
    np.testing.assert_allclose(mean, MEAN, atol=0.06)
    np.testing.assert_allclose(covariance, COVARIANCE, atol=0.06)


# Identities


def test_the_same_by_other_names():
    x, grid = normal(0, 16), log_grid(6)
    once = walk(ddpm(grid), gaussian(), x)
    for solver in (ddim(grid, eta=1.0), euler_ancestral(grid)):
        np.testing.assert_allclose(walk(solver, gaussian(), x), once, atol=1e-5)
    np.testing.assert_allclose(
        walk(euler(grid), gaussian(), x), walk(ddim(grid), gaussian(), x), atol=1e-6
    )


@each_solver
def test_the_same_in_every_frame_and_for_every_prediction(name):
    """x / alpha depends on the ratios only: VP, EDM's sigmas and flow agree."""
    results = []
    for frame, prediction in zip((*FRAMES, "preserving"), PREDICTIONS, strict=True):
        grid = log_grid(4, frame, highest=5.0)
        x = normal(3, 4) * float(grid.alpha[0])
        solver = make_solver(name, grid, prediction)
        ends = walk(solver, gaussian(prediction, frame), x)
        results.append(ends / grid.alpha[-1])
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "same"), [(14, True), (15, False)])
def test_under_fifteen_steps_the_last_of_dpm_solver_is_of_first_order(n, same):
    """Which is DDIM's, on the way to a level that still has noise."""
    grid = log_grid(n)
    states = sample(dpmpp_2m(grid), gaussian(), normal(0, 3), KEY, trajectory=True)
    last = walk(ddim(tail(grid, 1)), gaussian(), states[-2])
    assert np.allclose(last, states[-1], rtol=1e-4, atol=1e-5) == same


def test_noise_of_eta_one_is_beta_tilde():
    solver = ddim(make_grid(S, 1000), eta=1.0)
    alpha_bar = S.alpha_bars
    keys = example_keys(jax.random.key(0), jnp.arange(4))
    x = jnp.zeros((4, 2))
    for t in (999, 400, 1):
        # From 0 and with eps = 0 a step leaves its noise alone.
        got, _ = solver.step(lambda x, t: x, x, solver.init(x), 999 - t, keys)
        variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * S.betas[t]
        expected = np.sqrt(variance) * example_noise(keys, (2,))
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_variances_of_ddpm():
    grid, x = make_grid(S, 1000), jnp.zeros((4, 2))
    keys = example_keys(jax.random.key(0), jnp.arange(4))

    def noise(variance, raw=None, i=500):
        solver = ddpm(grid, variance=variance)
        out = x if raw is None else jnp.concatenate([x, x + raw], axis=-1)
        return solver.step(lambda x, t: out, x, solver.init(x), i, keys)[0]

    low, high = noise("beta_tilde"), noise("beta")
    expected = np.sqrt(S.betas[499]) * example_noise(keys, (2,))
    np.testing.assert_allclose(high, expected, rtol=1e-5)
    np.testing.assert_allclose(noise("learned_range", -1.0), low, rtol=1e-5)
    np.testing.assert_allclose(noise("learned_range", 1.0), high, rtol=1e-5)
    between = np.sqrt(np.abs(low * high))  # the mean of the logs
    np.testing.assert_allclose(np.abs(noise("learned_range", 0.0)), between, rtol=1e-5)
    for variance, raw in (("beta", None), ("learned_range", 1.0)):
        assert np.all(noise(variance, raw, 999) == 0)  # lands on the data


@each_solver
@pytest.mark.parametrize("n", [1, 3])
def test_the_last_step_is_the_predicted_data(name, n):
    grid = make_grid(S, n, spacing="trailing")
    solver = make_solver(name, grid, "x0")
    constant = jnp.array([[1.0, -2.0], [3.0, 0.5]])
    ends = walk(solver, lambda x, t: constant, normal(0, 2))
    np.testing.assert_allclose(ends, constant, atol=2e-3)  # 1 / alpha is some 150


@pytest.mark.parametrize("name", ["ddim", "pndm", "euler", "dpmpp_2m", "unipc"])
def test_a_step_to_the_same_level_leads_nowhere(name):
    grid = make_grid(S, 1, final="first")  # from timestep 0 to timestep 0
    x = normal(0, 3)
    ends = walk(make_solver(name, grid), lambda x, t: 0.5 * x, x)
    np.testing.assert_allclose(ends, x, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "pndm"])
def test_clip_bounds_the_predicted_data(name):
    grid = make_grid(S, 2, spacing="trailing")
    free, clipped = (
        walk(make_solver(name, grid, "x0", clip=clip), lambda x, t: x, normal(0, 8))
        for clip in (None, 0.5)
    )
    assert np.abs(free).max() > 1
    assert np.abs(clipped).max() <= 0.5 + 1e-6


def test_noise_is_what_the_clipped_data_leave_of_the_state():
    grid = make_grid(S, 2, spacing="trailing")
    x = normal(0, 8)
    solver = ddim(grid, "x0", clip=0.5)
    got, _ = solver.step(lambda x, t: x, x, solver.init(x), jnp.int32(0), KEY)
    x0 = np.clip(x, -0.5, 0.5)
    eps = (x - grid.alpha[0] * x0) / grid.sigma[0]
    np.testing.assert_allclose(got, grid.alpha[1] * x0 + grid.sigma[1] * eps, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ddim", [751, 501, 251, 1]),
        ("heun", [751, 501, 501, 251, 251, 1, 1]),
        ("pndm", [751, 501, 501, 251, 1]),
        ("unipc", [751, 501, 251, 1]),
    ],
)
def test_denoiser_sees_the_timesteps(name, expected):
    seen = []

    def denoise(x, t):
        assert t.dtype == jnp.int32
        jax.debug.callback(lambda t: seen.append(t.tolist()), t, ordered=True)
        return x

    solver = make_solver(name, make_grid(S, 4, steps_offset=1))
    sample(solver, denoise, jnp.ones((2, 3)), KEY)
    jax.effects_barrier()
    assert seen == [[t, t] for t in expected]


@pytest.mark.parametrize(("make", "last"), [(euler, 3), (heun, 6)])
def test_churn_raises_the_noise_that_the_network_is_asked_at(make, last):
    """EDM, algorithm 2: with a denoiser of no noise at all x_hat is all there is."""
    grid = log_grid(4)
    factor = 1 + 0.4 / 4
    solver = make(grid, churn=0.4, churn_range=(1.0, np.inf), churn_noise=2.0)
    keys, x = example_keys(KEY, jnp.arange(3)), normal(0, 3)
    asked = []

    def denoise(x, t):
        asked.append((x, t))
        return jnp.zeros_like(x)

    for i in (0, last):
        solver.step(denoise, x, solver.init(x), jnp.int32(i), keys)
    (lifted, t), (same, t_last) = asked
    np.testing.assert_allclose(t, np.log(factor * 20.0), rtol=1e-6)
    alpha = FRAMES["preserving"](20.0 * factor)
    added = 2 * 20.0 * np.sqrt(factor**2 - 1) * example_noise(keys, (2,))
    np.testing.assert_allclose(lifted, alpha * (x / grid.alpha[0] + added), rtol=1e-5)
    np.testing.assert_allclose(t_last, grid.t[3], rtol=1e-6)  # below the range
    np.testing.assert_allclose(same, x, rtol=1e-6)


# Mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_solver("dpm", log_grid(3)), "unknown solver 'dpm'"),
        (lambda: make_solver("unpic", log_grid(3)), "did you mean 'unipc'"),
        (
            lambda: make_solver("heun", log_grid(3), eta=0.5),
            "the heun solver",
        ),
        (lambda: ddim(log_grid(3), "eps"), "unknown prediction 'eps'"),
        (lambda: ddim(log_grid(3), eta=-0.1), r"eta must be in 0\.\.1, got -0.1"),
        (lambda: ddim(log_grid(3), eta=float("nan")), "got nan"),
        (lambda: euler_ancestral(log_grid(3), eta=1.1), "got 1.1"),
        (lambda: ddpm(log_grid(3), variance="betta"), "did you mean 'beta'"),
        (lambda: unipc(log_grid(3), order=4), "order must be 1, 2 or 3, got 4"),
        (lambda: heun(log_grid(3), churn=-1.0), "churn must not be negative"),
    ],
)
def test_impossible_solvers(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [*(SOLVERS[n] for n in SOLVERS if n not in ("ddim", "euler", "heun"))]
)
def test_noise_that_grows(make):
    if make is SOLVERS["pndm"]:
        make = functools.partial(ddim, eta=0.5)
    with pytest.raises(UserError, match=r"descend"):
        make(inverse(make_grid(S, 5)))


def test_epsilon_of_pure_noise():
    for name in SOLVERS:
        with pytest.raises(UserError, match=r"alpha( = 0|, which is 0)"):
            make_solver(name, make_grid(PURE, 5, spacing="trailing"))
    with pytest.raises(UserError, match="inversion needs 'epsilon' or 'v'"):
        ddim(inverse(make_grid(S, 5)), "x0")


@pytest.mark.parametrize("make", [euler, heun])
def test_churn_of_a_walk_that_starts_without_data_begins_after_its_start(make):
    solver = make(make_grid(RectifiedFlow(), 3, spacing="trailing"), "v", churn=1.0)
    keys, x = example_keys(KEY, jnp.arange(2)), normal(0, 2)
    asked = []

    def denoise(x, t):
        asked.append(x)
        return jnp.zeros_like(x)

    for i in (0, solver.evaluations - 1):
        solver.step(denoise, x, solver.init(x), jnp.int32(i), keys)
    np.testing.assert_array_equal(asked[0], x)
    assert np.abs(asked[1] - x).min() > 0


def test_churn_on_a_grid_that_cannot_find_levels():
    grid = log_grid(3)
    bare = Grid(grid.t, grid.alpha, grid.sigma)
    assert euler(bare).evaluations == 3
    with pytest.raises(UserError, match="make it by make_grid"):
        euler(bare, churn=1.0)


def test_prediction_of_another_shape():
    with pytest.raises(UserError, match=r"shape \(2, 3\), got \(2, 1\)"):
        sample(ddim(make_grid(S, 2)), lambda x, t: x[:, :1], jnp.ones((2, 3)), KEY)
    solver = ddpm(make_grid(S, 2), variance="learned_range")
    with pytest.raises(UserError, match="twice the channels of the data, got 3"):
        sample(solver, lambda x, t: x, jnp.ones((2, 3)), KEY)
