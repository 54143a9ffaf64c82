"""Solvers against closed forms: the optimal denoiser of Gaussian data is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import ddim, ddpm, timesteps
from diffusion_audio.errors import UserError

S = make_schedule("linear")
MEAN = np.array([1.5, -0.5])
COVARIANCE = np.array([[0.5, 0.3], [0.3, 0.4]])


def optimal(schedule, x, t):
    """E[eps | x_t] for data N(MEAN, COVARIANCE), [B, 2]."""
    grid = schedule.alpha_bars[:, None, None]
    total = grid * COVARIANCE + (1 - grid) * np.eye(2)  # covariance of x_t
    inverse = jnp.asarray(np.linalg.inv(total), jnp.float32)[t]
    centred = x - schedule.alpha(t)[:, None] * jnp.asarray(MEAN, jnp.float32)[None]
    return schedule.sigma(t)[:, None] * jnp.einsum("bij,bj->bi", inverse, centred)


def run(solver, x, key=0, schedule=S):
    denoise = functools.partial(optimal, schedule)
    return np.asarray(jax.jit(lambda x, key: sample(solver, denoise, x, key))(x, key))


def normal(seed, n):
    return example_noise(example_keys(jax.random.key(seed), jnp.arange(n)), (2,))


def test_ddpm_samples_the_data():
    n = 20_000
    solver = ddpm(S, timesteps(1000, 1000))
    x0 = run(solver, normal(0, n), jax.random.key(1))
    # Three standard errors, the variance's being 2 / n of its square.
    error = np.sqrt(np.diag(COVARIANCE) / n)
    assert np.all(np.abs(x0.mean(0) - MEAN) < 3 * error)
    error = np.sqrt((np.outer(*[np.diag(COVARIANCE)] * 2) + COVARIANCE**2) / n)
    assert np.all(np.abs(np.cov(x0.T) - COVARIANCE) < 3 * error)


def as_affine(solver, schedule=S):
    """Mean and covariance of a deterministic solver's samples, without sampling."""
    ends = run(
        solver, jnp.array([[0.0, 0], [1, 0], [0, 1]]), jax.random.key(0), schedule
    )
    matrix = (ends[1:] - ends[0]).T
    return ends[0], matrix @ matrix.T


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine"])
def test_ddim_converges_at_first_order(name):
    schedule = make_schedule(name)
    errors = []
    for n in (25, 50, 100):
        grid = timesteps(1000, n, "trailing")
        mean, covariance = as_affine(ddim(schedule, grid), schedule)
        errors.append(np.abs(covariance - COVARIANCE).max())
    assert errors[-1] < 0.025
    assert np.abs(mean - MEAN).max() < 0.07  # alpha_bar_T is not quite 0
    halvings = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(halvings - 1) < 0.25)


@pytest.mark.parametrize(
    "grid", [timesteps(1000, 1000), timesteps(1000, 5, "trailing")], ids=len
)
def test_ddim_with_eta_one_is_ddpm(grid):
    x, key = normal(0, 16), jax.random.key(1)
    ancestral = run(ddpm(S, grid), x, key)
    np.testing.assert_allclose(run(ddim(S, grid, 1.0), x, key), ancestral, atol=1e-4)


def test_noise_of_eta_one_is_beta_tilde():
    grid = timesteps(1000, 1000)
    solver = ddim(S, grid, 1.0)
    alpha_bar = S.alpha_bars
    for t in (999, 400, 1):
        # From 0 and with eps = 0 a step leaves its noise alone.
        keys = example_keys(jax.random.key(0), jnp.arange(4))
        x = jnp.zeros((4, 2))
        x, _ = solver.step(lambda x, t: x, x, (), jnp.int32(999 - t), keys)
        variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * S.betas[t]
        expected = np.sqrt(variance) * example_noise(keys, (2,))
        np.testing.assert_allclose(x, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [ddpm, ddim, functools.partial(ddim, eta=1.0)])
@pytest.mark.parametrize("n", [1, 7])
def test_the_last_step_is_the_predicted_data(make, n):
    grid = timesteps(1000, n, "trailing")
    x, keys = normal(0, 3), example_keys(jax.random.key(0), jnp.arange(3))
    t = int(grid[-1])
    eps = 0.5 * x
    got, _ = make(S, grid).step(lambda x, t: eps, x, (), jnp.int32(n - 1), keys)
    alpha_bar = S.alpha_bars[t]
    expected = (x - np.sqrt(1 - alpha_bar) * eps) / np.sqrt(alpha_bar)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_final_alpha_of_timestep_zero():
    x, keys = normal(0, 3), example_keys(jax.random.key(0), jnp.arange(3))
    solver = ddim(S, np.array([0]), set_alpha_to_one=False)
    got, _ = solver.step(lambda x, t: 0.5 * x, x, (), jnp.int32(0), keys)
    np.testing.assert_allclose(got, x, rtol=1e-6)  # from timestep 0 to timestep 0


@pytest.mark.parametrize("make", [ddpm, ddim])
def test_clip_bounds_the_predicted_data(make):
    x, keys = 3 + normal(0, 8), example_keys(jax.random.key(0), jnp.arange(8))
    grid, denoise = np.array([500, 100]), functools.partial(optimal, S)
    free, clipped = (
        make(S, grid, clip=clip).step(denoise, x, (), jnp.int32(1), keys)[0]
        for clip in (None, 0.5)
    )
    assert np.abs(free).max() > 1
    assert np.abs(clipped).max() <= 0.5


def test_denoiser_sees_the_timesteps():
    seen = []

    def denoise(x, t):
        assert t.dtype == jnp.int32
        jax.debug.callback(lambda t: seen.append(t.tolist()), t, ordered=True)
        return x

    grid = timesteps(1000, 4, steps_offset=1)
    sample(ddim(S, grid), denoise, jnp.ones((2, 3)), jax.random.key(0))
    jax.effects_barrier()
    assert seen == [[751, 751], [501, 501], [251, 251], [1, 1]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1000, 4), [750, 500, 250, 0]),
        ((1000, 4, "leading", 1), [751, 501, 251, 1]),
        ((1000, 4, "trailing"), [999, 749, 499, 249]),
        ((1000, 4, "linspace"), [999, 666, 333, 0]),
        ((10, 3), [6, 3, 0]),
        ((10, 3, "trailing"), [9, 6, 2]),
        ((5, 5, "linspace"), [4, 3, 2, 1, 0]),
    ],
)
def test_timesteps(arguments, expected):
    grid = timesteps(*arguments)
    assert grid.tolist() == expected
    assert grid.dtype == np.int32


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_every_number_of_timesteps_is_a_chain(spacing):
    schedule = make_schedule(steps=200)
    for n in range(1, 201):
        assert ddim(schedule, timesteps(200, n, spacing)).steps == n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1000, 50, "traling"), "did you mean 'trailing'"),
        ((1000, 1001), r"integer in 1\.\.1000 .* got 1001"),
        ((1000, 0), "got 0"),
        ((1000, 2.5), "got 2.5"),
        ((1000, 10, "trailing", 1), "set it to 0"),
        ((1000, 1000, "leading", 1), "run from 1 to 1000, outside"),
        ((1000, 10, "leading", -1), "run from -1 to 899, outside"),
    ],
)
def test_impossible_timesteps(arguments, message):
    with pytest.raises(UserError, match=message):
        timesteps(*arguments)


@pytest.mark.parametrize(
    "grid", [[], [3, 3], [1, 2], [1000, 1], [5, -1], [1.5], [[3, 2]]]
)
@pytest.mark.parametrize("make", [ddpm, ddim])
def test_timesteps_that_no_chain_can_walk(make, grid):
    with pytest.raises(UserError, match=r"descending integers in 0\.\.999"):
        make(S, np.array(grid))


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_impossible_eta(eta):
    with pytest.raises(UserError, match=r"eta must be in 0\.\.1"):
        ddim(S, timesteps(1000, 10), eta)


@pytest.mark.parametrize("previous", [[5], [9, 5], [5, 3]])
def test_impossible_previous(previous):
    with pytest.raises(UserError, match="an earlier timestep"):
        ddim(S, np.array([9, 3]), previous=np.array(previous))


def test_prediction_of_another_shape():
    with pytest.raises(UserError, match=r"shape \(2, 3\), got \(2, 1\)"):
        sample(
            ddim(S, timesteps(1000, 2)),
            lambda x, t: x[:, :1],
            jnp.ones((2, 3)),
            jax.random.key(0),
        )
