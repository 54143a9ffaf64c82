import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffusion_audio.diffusion.timestep_samplers import (
    EDGE,
    TIMESTEP_SAMPLERS,
    make_timestep_sampler,
)
from diffusion_audio.errors import UserError

KEY = jax.random.key(5)
B = 20_000


def draw(name, key=KEY, indices=None, state=None, size=B, **options):
    times = make_timestep_sampler(name, size, **options)
    indices = jnp.arange(size) if indices is None else indices
    return times.draw(times.init() if state is None else state, key, indices)


@pytest.mark.parametrize("name", TIMESTEP_SAMPLERS)
def test_a_draw_belongs_to_the_example(name):
    whole, weights = draw(name, size=64)
    some = jnp.array([6, 1, 33])
    np.testing.assert_array_equal(draw(name, indices=some, size=64)[0], whole[some])
    assert whole.dtype == weights.dtype == jnp.float32
    other, _ = draw(name, key=jax.random.key(6), size=64)
    assert not np.any(other == whole)


@pytest.mark.parametrize("name", ["uniform", "stratified", "importance"])
def test_uniform_shares(name):
    u, weights = draw(name)
    assert stats.kstest(u, "uniform").pvalue > 0.01
    np.testing.assert_allclose(weights, np.ones(B), rtol=1e-6)
    assert u.min() >= EDGE
    assert u.max() <= 1 - EDGE


def test_logit_normal_shares():
    u, weights = draw("logit_normal", location=0.5, scale=2.0)
    inside = u[(u > 1e-4) & (u < 1 - 1e-4)]  # float32 cannot undo what lies further
    normal = np.log(inside / (1 - inside))
    assert stats.kstest(normal, stats.norm(0.5, 2.0).cdf).statistic < 0.02
    np.testing.assert_array_equal(weights, np.ones(B))


def test_stratified_fills_the_way_evenly():
    u = np.sort(draw("stratified", size=32)[0])
    np.testing.assert_allclose(np.diff(u), np.full(31, 1 / 32), atol=1e-5)
    # The mean of a function over a batch varies less than with separate draws.
    means = {}
    for name in ("uniform", "stratified"):
        times = make_timestep_sampler(name, 32)
        keys = jax.random.split(KEY, 200)
        shares = jax.vmap(lambda k, d=times.draw: d({}, k, jnp.arange(32))[0])(keys)
        means[name] = np.square(shares).mean(axis=1)
        np.testing.assert_allclose(means[name].mean(), 1 / 3, atol=0.02)
    assert means["stratified"].std() < means["uniform"].std() / 4


def test_importance_finds_the_optimal_density():
    bins = 8
    times = make_timestep_sampler("importance", 512, bins=bins, memory=10)
    scale = jnp.array([8.0, 1, 1, 1, 1, 1, 1, 2])

    def losses(u):
        return scale[(u * bins).astype(jnp.int32)]

    @jax.jit
    def step(state, key):
        u, weights = times.draw(state, key, jnp.arange(512))
        return times.update(state, times.observe(u, losses(u))), (u, weights)

    state, (u, weights) = step(times.init(), KEY)
    np.testing.assert_array_equal(weights, np.ones(512))  # nothing known yet
    state, (u, weights) = step(state, jax.random.key(1))
    np.testing.assert_allclose(state["square"], scale**2, rtol=1e-5)
    p = np.asarray(scale / scale.sum()) * 0.999 + 0.001 / bins
    which = np.asarray(u * bins, int)
    np.testing.assert_allclose(weights, 1 / (bins * p[which]), rtol=1e-5)
    np.testing.assert_allclose(np.bincount(which, minlength=8) / 512, p, atol=0.06)
    # Unbiased, and since the losses are known, of no variance but for the floor.
    estimate = losses(u) * weights
    np.testing.assert_allclose(estimate, np.full(512, scale.mean()), rtol=0.02)


def test_importance_waits_until_every_bin_is_known():
    times = make_timestep_sampler("importance", 4, bins=4, memory=2)
    some = {"square": jnp.array([1.0, 9, 9, 9]), "seen": jnp.array([1.0, 2, 5, 3])}
    assert np.all(times.draw(some, KEY, jnp.arange(4))[1] == 1)


def test_importance_keeps_a_running_mean():
    times = make_timestep_sampler("importance", 2, bins=2, memory=4)
    state, u = times.init(), jnp.array([0.1, 0.9])
    for loss in (1.0, 2.0, 3.0, 4.0):
        state = times.update(state, times.observe(u, jnp.array([loss, 0.0])))
    np.testing.assert_allclose(state["square"], [(1 + 4 + 9 + 16) / 4, 0])
    state = times.update(state, times.observe(u, jnp.array([10.0, 0.0])))
    np.testing.assert_allclose(state["square"], [(4 * 7.5 + 100) / 5, 0])
    state = times.update(state, times.observe(u, jnp.array([10.0, 0.0])))
    np.testing.assert_allclose(state["square"], [(4 * 26 + 100) / 5, 0])
    # A bin that a batch does not touch stays as it is.
    after = times.update(state, times.observe(jnp.array([0.9, 0.8]), jnp.ones(2)))
    np.testing.assert_allclose(after["square"][0], state["square"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "unifrom"}, "did you mean 'uniform'"),
        ({"name": "uniform", "bins": 3}, "option of the uniform timestep sampler"),
        ({"name": "logit_normal", "scale": 0.0}, "scale must be above 0"),
        ({"name": "importance", "bins": 0}, "bins must be above 0"),
        ({"name": "importance", "floor": 0.0}, r"floor must lie in \(0, 1\]"),
    ],
)
def test_impossible_times(options, message):
    with pytest.raises(UserError, match=message):
        make_timestep_sampler(batch_size=4, **options)


def test_no_draw_comes_nearer_to_the_ends():
    u, _ = draw("logit_normal", size=64, scale=1000.0)
    assert u.min() == jnp.float32(EDGE)
    assert u.max() == jnp.float32(1 - EDGE)
