"""What is made by rows is the same, and is not cut a second time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.rows import by_rows, split_over, whole
from diffusion_audio.systems import devices
from diffusion_audio.training.parallel import ParallelConfig, make_mesh, replicate

X = jnp.arange(48.0).reshape(16, 3)
W = jnp.arange(3.0)[None]


def scaled(x, w):
    return x * w, (x * w).sum(axis=0)


@pytest.mark.parametrize("cfg", [{"data": 4}, {"data": 2, "fsdp": 2}, {"data": 1}])
@pytest.mark.parametrize("rows", [16, 15])
def test_rows_and_their_sums_are_those_of_one_device(cfg, rows):
    mesh = make_mesh(ParallelConfig(**cfg))

    @jax.jit
    def run(x):
        with split_over(mesh):
            return by_rows(scaled, (x,), (W,), sums=True), whole(x)

    (made, total), same = run(replicate(X[:rows], mesh))
    np.testing.assert_array_equal(made, X[:rows] * W)
    np.testing.assert_allclose(total, (X[:rows] * W).sum(axis=0))
    np.testing.assert_array_equal(same, X[:rows])


def test_nothing_is_cut_where_no_mesh_is_named():
    text = str(jax.make_jaxpr(lambda x: (by_rows(jnp.sin, (x,)), whole(x)))(X))
    assert "shard_map" not in text
    assert "sharding_constraint" not in text


def test_a_device_s_own_rows_are_not_cut_again():
    def inside(x):
        return whole(by_rows(jnp.sin, (x,)))

    run = jax.jit(devices.over_devices(inside, devices.local_mesh(), whole=0))
    np.testing.assert_allclose(run(X), jnp.sin(X), rtol=1e-6)
