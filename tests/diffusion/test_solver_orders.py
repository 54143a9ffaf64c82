"""Each solver's order of convergence is its paper's, by halving the step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.solvers import (
    dpmpp_3m,
    make_solver,
    recurrence,
)
from tests.diffusion.closed_forms import (
    COVARIANCE,
    MEAN,
    gaussian,
    gaussian_flow,
    log_grid,
    mixture,
    mixture_flow,
    run,
)


@pytest.mark.parametrize(
    ("name", "options", "order"),
    [
        ("ddim", {}, 1),
        ("euler", {}, 1),
        ("pndm", {}, 2),
        ("heun", {}, 2),
        ("dpmpp_2m", {}, 2),
        ("unipc", {"order": 1}, 2),  # the corrector adds an order
        ("unipc", {"order": 2}, 3),
    ],
)
def test_order_of_convergence(name, options, order):
    with jax.enable_x64():
        x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 2)))
        exact = gaussian_flow(np.asarray(x), 20.0, 0.05)
        errors = []
        for n in (40, 80):
            solver = make_solver(name, log_grid(n), **options)
            errors.append(np.abs(run(solver, gaussian(), x) - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25), errors


@pytest.mark.parametrize(("half", "order"), [(False, 3), (True, 2)])
def test_order_of_dpmpp_3m(half, order):
    """From a ratio at which nothing depends on its first steps, of lower order.

    With half of a term, as it is published, it is of second order.
    """
    with jax.enable_x64():
        x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 1)))
        exact = mixture_flow(np.asarray(x), 1000.0, 0.3)
        errors = []
        for n in (120, 240):
            grid = log_grid(n, highest=1000.0, lowest=0.3)
            solver = dpmpp_3m(grid, "x0", half_curvature=half)
            errors.append(np.abs(run(solver, mixture(), x) - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25), errors


def moments(monkeypatch, solver, grid):
    """Mean and covariance of what a solver makes of the right start, exactly.

    The optimal denoiser is affine, so samples are affine in the start and in each
    noise: an example starts without any, each other with one of them set to 1.
    """
    n, d = solver.evaluations, len(MEAN)
    sources = d * (n + 1)
    x, z = np.zeros((1 + sources, d)), np.zeros((n, 1 + sources, d))
    x[1 : 1 + d] = np.eye(d)
    for i in range(n):
        at = 1 + d * (i + 1)
        z[i, at : at + d] = np.eye(d)
    # The noise itself in the place of keys.
    monkeypatch.setattr(recurrence, "example_noise", lambda keys, shape: keys)

    @jax.jit
    def every(x):
        def body(carry, inputs):
            return solver.step(gaussian(), *carry, *inputs), None

        steps = (jnp.arange(n), jnp.asarray(z))
        return jax.lax.scan(body, (x, solver.init(x)), steps)[0][0]

    ends = np.asarray(every(jnp.asarray(x)))
    of_start, of_noise = np.split(ends[1:] - ends[0], [d])
    total = grid.alpha[0] ** 2 * COVARIANCE + grid.sigma[0] ** 2 * np.eye(d)
    mean = ends[0] + grid.alpha[0] * MEAN @ of_start
    return mean, of_start.T @ total @ of_start + of_noise.T @ of_noise


@pytest.mark.parametrize(
    ("name", "options", "order"),
    [
        ("ddpm", {}, 1),
        ("ddim", {"eta": 0.5}, 1),
        ("euler_ancestral", {}, 1),
        ("dpmpp_2m_sde", {}, 2),
        ("heun", {"churn": 1.0}, 2),
    ],
)
def test_order_of_convergence_in_distribution(monkeypatch, name, options, order):
    errors = []
    with jax.enable_x64():
        for n in (30, 60):
            grid = log_grid(n)
            solver = make_solver(name, grid, **options)
            mean, covariance = moments(monkeypatch, solver, grid)
            right = grid.alpha[-1] ** 2 * COVARIANCE + grid.sigma[-1] ** 2 * np.eye(2)
            assert np.abs(mean - grid.alpha[-1] * MEAN).max() < 0.2
            errors.append(np.abs(covariance - right).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25), errors
