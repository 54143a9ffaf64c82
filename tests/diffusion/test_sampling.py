import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.grid import make_grid
from diffusion_audio.diffusion.guidance import classifier_free
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.sampling import advance, sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import (
    SOLVERS,
    Solver,
    ddim,
    ddpm,
    heun,
    make_solver,
    unipc,
)

GRID = make_grid(make_schedule("linear"), 4)
DETERMINISTIC, NOISY = ddim(GRID), ddim(GRID, eta=0.7)
KEY = jax.random.key(5)


def denoise(x, t):
    return jnp.tanh(x) * (1 - t.astype(jnp.float32) / 2000)[:, None, None]


def start(indices):
    return example_noise(example_keys(jax.random.key(4), indices), (4, 3))


@pytest.mark.parametrize(
    ("solver", "stops"),
    [
        (ddpm(GRID), [0, 1, 2, 3]),
        (unipc(GRID), [0, 1, 2, 3]),
        (heun(GRID), [1, 3, 5, 6]),  # not where it only looks ahead
    ],
    ids=["ddpm", "unipc", "heun"],
)
def test_scan_is_the_loop(solver, stops):
    x = start(jnp.arange(2))
    chain = sample(solver, denoise, x, KEY, trajectory=True)
    assert chain.shape == (5, 2, 4, 3)
    np.testing.assert_array_equal(chain[0], x)
    state = solver.init(x)
    for i in range(solver.evaluations):
        keys = example_keys(jax.random.fold_in(KEY, i), jnp.arange(2))
        x, state = solver.step(denoise, x, state, jnp.int32(i), keys)
        if i in stops:
            at = chain[stops.index(i) + 1]
            np.testing.assert_allclose(at, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_network_is_in_the_program_once(name):
    calls = []

    def counted(x, t):
        calls.append(x.shape)
        return denoise(x, t)

    solver = make_solver(name, GRID)
    program = jax.jit(lambda x, key: sample(solver, counted, x, key))
    program.lower(start(jnp.arange(2)), KEY)
    assert calls == [(2, 4, 3)]


def test_trajectory_ends_in_the_sample():
    x = start(jnp.arange(2))
    chain = sample(DETERMINISTIC, denoise, x, KEY, trajectory=True)
    np.testing.assert_array_equal(sample(DETERMINISTIC, denoise, x, KEY), chain[-1])


def test_an_example_does_not_depend_on_its_batch():
    whole = sample(NOISY, denoise, start(jnp.arange(6)), KEY)
    some = jnp.array([4, 1])
    part = sample(NOISY, denoise, start(some), KEY, indices=some)
    np.testing.assert_allclose(part, whole[some], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("solver", "same"), [(DETERMINISTIC, True), (NOISY, False)])
def test_key_matters_only_where_noise_is_drawn(solver, same):
    x = start(jnp.arange(2))
    generate = jax.jit(lambda key: sample(solver, denoise, x, key))
    first, second = generate(jax.random.key(0)), generate(jax.random.key(1))
    assert np.array_equal(first, second) == same


def test_new_keys_conditions_and_scales_do_not_compile():
    traces = []

    @jax.jit
    def generate(params, cond, scale, x, key, indices):
        def denoise2(x, t):
            traces.append(x.shape)
            both = jnp.concatenate([cond, jnp.zeros_like(cond)])
            return jnp.tanh(params * x + both)

        guided = classifier_free(denoise2, scale)
        return sample(NOISY, guided, x, key, indices=indices)

    results = [
        generate(
            jnp.float32(0.5 + seed),
            start(jnp.arange(2) + seed),
            jnp.array([1.0 + seed, 3.0]),
            start(jnp.arange(2)),
            jax.random.key(seed),
            jnp.arange(2) + seed,
        )
        for seed in range(3)
    ]
    assert traces == [(4, 4, 3)]  # traced once, for four steps and three calls
    assert generate._cache_size() == 1
    assert not np.allclose(results[0], results[1])


def test_solver_may_remember_and_evaluate_twice():
    """The seam that multi-step and multi-evaluation solvers use."""

    def step(denoise, x, state, i, keys):
        t = jnp.full(len(x), i)
        first = denoise(x, t)
        second = denoise(x + first, t)
        return x + second + state, second

    solver = Solver(3, jnp.zeros_like, step, np.arange(3))
    x = sample(solver, lambda x, t: jnp.ones_like(x), jnp.zeros((2, 1)), KEY)
    assert x.tolist() == [[5.0], [5.0]]  # three steps of 1, two of what came before


@pytest.mark.parametrize("name", ["ddim", "heun", "unipc", "dpmpp_2m_sde"])
def test_pieces_are_the_whole(name):
    """One program, whatever the pieces; their ends and noise are those of the scan."""
    solver = make_solver(name, GRID)
    indices = jnp.array([3, 7])
    x = start(indices)

    @jax.jit
    def go_on(carry, first, last):
        return advance(
            solver, denoise, carry, KEY, indices=indices, start=first, stop=last
        )

    whole = sample(solver, denoise, x, KEY, indices=indices)
    for stops in ([solver.evaluations], [1, 3, solver.evaluations]):
        carry, first = (x, solver.init(x)), 0
        for stop in stops:
            carry, first = go_on(carry, first, stop), stop
        np.testing.assert_allclose(carry[0], whole, rtol=1e-5, atol=1e-6)
    assert go_on._cache_size() == 1
