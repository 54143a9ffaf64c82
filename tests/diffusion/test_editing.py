import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.editing import inverse, keeping, noised, partial
from diffusion_audio.diffusion.grid import Grid, make_grid
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import ddim, ddpm, heun
from diffusion_audio.errors import UserError
from tests.diffusion.closed_forms import (
    COVARIANCE,
    MEAN,
    gaussian,
    gaussian_flow,
    log_grid,
)

KEY = jax.random.key(1)


def normal(seed, n):
    return example_noise(example_keys(jax.random.key(seed), jnp.arange(n)), (2,))


def data_of(n):
    root = np.linalg.cholesky(COVARIANCE)
    return jnp.asarray(MEAN, jnp.float32)[None] + normal(3, n) @ jnp.asarray(
        root.T, jnp.float32
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_inversion_finds_the_noise_of_the_data(prediction):
    x0, errors = data_of(6), []
    for n in (50, 100):
        grid = log_grid(n, lowest=0.02)
        denoise = gaussian(prediction)
        noise = sample(ddim(inverse(grid), prediction), denoise, x0, KEY)
        exact = gaussian_flow(np.asarray(x0), 0.02, 20.0)
        assert np.abs(noise - exact).max() < 0.4
        again = sample(ddim(grid, prediction), denoise, noise, KEY)
        errors.append(np.abs(again - x0).max())
    assert errors[1] < 0.6 * errors[0]  # of first order
    assert errors[1] < 0.15


def test_inversion_asks_at_the_time_it_leads_to():
    grid = make_grid(make_schedule("linear"), 4)
    back = inverse(grid)
    assert back.t.tolist() == [0, 250, 500, 750]
    assert (back.alpha[0], back.sigma[0]) == (1.0, 0.0)  # from the data
    assert back.sigma[-1] == grid.sigma[0]
    np.testing.assert_array_equal(inverse(back).alpha, grid.alpha)


def test_partial_keeps_what_the_noise_left():
    grid = log_grid(40, highest=20.0, lowest=0.02)
    x0 = data_of(200)
    kept = []
    for strength in (0.1, 0.5, 1.0):
        part = partial(grid, strength)
        assert len(part.t) == round(40 * strength)
        x = noised(part, x0, normal(4, 200))
        edited = sample(ddpm(part), gaussian(), x, KEY)
        # Whatever the strength, samples are of the data.
        np.testing.assert_allclose(np.mean(edited, axis=0), MEAN, atol=0.15)
        kept.append(np.corrcoef(edited[:, 0], x0[:, 0])[0, 1])
    assert kept[0] > 0.99
    assert 0.3 < kept[1] < 0.99
    assert abs(kept[2]) < 0.25


def test_noised():
    part = partial(log_grid(10), 0.3)
    x = noised(part, jnp.ones((1, 2)), jnp.zeros((1, 2)))
    np.testing.assert_allclose(x, part.alpha[0], rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 1.1, -1.0, 0.01, float("nan")])
def test_impossible_strength(strength):
    with pytest.raises(UserError, match="strength must lie in"):
        partial(log_grid(10), strength)


def to_data(grid):
    return Grid(grid.t, np.append(grid.alpha[:-1], 1), np.append(grid.sigma[:-1], 0))


@pytest.mark.parametrize(("solver", "least"), [(ddpm, 0.5), (heun, 0.3)])
def test_keeping_completes_the_known_part(solver, least):
    """One coordinate is known: the other becomes likely beside it."""
    n = 500
    grid = to_data(log_grid(60, lowest=0.01))
    mask = jnp.array([[1.0, 0.0]])
    ends = []
    for first in (MEAN[0] - 1, MEAN[0] + 1):
        known = jnp.full((n, 2), first, jnp.float32)
        held = keeping(solver(grid), grid, known, mask)
        samples = sample(held, gaussian(), normal(5, n), KEY)
        np.testing.assert_allclose(samples[:, 0], first, rtol=1e-6)
        ends.append(np.mean(samples[:, 1]))
    slope = COVARIANCE[0, 1] / COVARIANCE[0, 0]
    exact = np.array([MEAN[1] - slope, MEAN[1] + slope])
    # Putting the known part back lets the other hear of it, but late: it goes most of
    # the way to the exact conditional mean (Lugmayr et al. 2022, section 4.2).
    share = (ends[1] - ends[0]) / (exact[1] - exact[0])
    assert least < share < 1.1


def test_keeping_nothing_is_the_solver():
    grid, x = to_data(log_grid(4)), normal(5, 4)
    held = keeping(ddpm(grid), grid, jnp.full((4, 2), 9.0), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(
        sample(held, gaussian(), x, KEY), sample(ddpm(grid), gaussian(), x, KEY)
    )


def test_keeping_needs_a_mask_that_fits():
    grid = log_grid(4)
    with pytest.raises(UserError, match="as many axes"):
        keeping(ddpm(grid), grid, jnp.zeros((4, 2)), jnp.zeros(2))


def test_the_known_part_is_put_back_with_noise_of_its_own():
    grid, known = log_grid(4), jnp.full((3, 2), 9.0)
    keys = example_keys(KEY, jnp.arange(3))
    solver = ddpm(grid)
    held = keeping(solver, grid, known, jnp.ones((1, 2)))
    x = normal(5, 3)
    got, _ = held.step(gaussian(), x, solver.init(x), jnp.int32(1), keys)
    eps = (got - grid.alpha[2] * known) / grid.sigma[2]
    assert np.abs(eps - example_noise(keys, (2,))).min() > 1e-3
    assert np.abs(eps).max() < 4
