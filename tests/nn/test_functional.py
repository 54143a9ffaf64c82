import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffusion_audio.errors import UserError
from diffusion_audio.nn.functional import abstract_params, count, functional, network_of
from diffusion_audio.nn.layers import conv, dense, embedding


class Tower(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List(
            dense(4, 4, dtype=jnp.float32, rngs=rngs) for _ in range(11)
        )
        self.last = dense(4, 2, bias=False, zero=True, dtype=jnp.float32, rngs=rngs)
        self.own = nnx.Param(jax.random.uniform(rngs.params(), (3,)))
        self.other = nnx.Param(jax.random.uniform(rngs.params(), (3,)))

    def __call__(self, x):
        return self.last(self.hidden(x))

    def hidden(self, x, times=1):
        for layer in self.layers:
            x = layer(x) * times
        return x


TOWER = functional(Tower)


def test_parameters_are_nested_dicts_with_string_keys():
    params = TOWER.init(jax.random.key(0))
    assert set(params) == {"layers", "last", "own", "other"}
    assert set(params["layers"]) == {str(i) for i in range(11)}
    assert params["layers"]["10"]["kernel"].shape == (4, 4)
    assert set(params["last"]) == {"kernel"}


def test_apply_reads_the_dict_and_nothing_else():
    params = TOWER.init(jax.random.key(0))
    x = jnp.ones((1, 4))
    y = x
    for i in range(11):
        layer = params["layers"][str(i)]
        y = y @ layer["kernel"] + layer["bias"][None]
    np.testing.assert_allclose(TOWER.apply(params, x, method="hidden"), y, atol=1e-5)
    twice = TOWER.apply(params, x, method="hidden", times=2)
    np.testing.assert_allclose(twice, 2.0**11 * y, rtol=1e-4)
    np.testing.assert_array_equal(TOWER.apply(params, x), 0)
    params["last"]["kernel"] = jnp.ones((4, 2))
    np.testing.assert_allclose(TOWER.apply(params, x)[0, 0], y.sum(), rtol=1e-5)
    gradient = jax.grad(lambda p: TOWER.apply(p, x).sum())(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)


def test_every_draw_is_new_and_the_key_decides():
    a, b = TOWER.init(jax.random.key(0)), TOWER.init(jax.random.key(1))
    again = jax.jit(TOWER.init)(jax.random.key(0))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)
    kernels = [tree["layers"][i]["kernel"] for tree in (a, b) for i in ("0", "1")]
    kernels += [tree[name] for tree in (a, b) for name in ("own", "other")]
    values = np.concatenate([np.ravel(k) for k in kernels])
    assert len(np.unique(values)) == len(values)


def test_starting_noise_has_the_declared_deviation():
    class Layers(nnx.Module):
        def __init__(self, rngs):
            self.conv = conv(32, 64, dtype=jnp.float32, rngs=rngs)
            self.embedding = embedding(300, 100, std=0.5, dtype=jnp.float32, rngs=rngs)

    params = functional(Layers).init(jax.random.key(0))
    kernel = np.asarray(params["conv"]["kernel"])
    np.testing.assert_allclose(kernel.std(), (9 * 32) ** -0.5, rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=2e-3)
    np.testing.assert_array_equal(params["conv"]["bias"], 0)
    np.testing.assert_allclose(
        np.asarray(params["embedding"]["embedding"]).std(), 0.5, rtol=0.02
    )


def test_abstract_parameters_have_the_shapes_of_real_ones():
    real, abstract = TOWER.init(jax.random.key(0)), abstract_params(TOWER)
    assert jax.tree.map(jnp.shape, real) == jax.tree.map(jnp.shape, abstract)
    assert count(real) == count(abstract) == 11 * 20 + 8 + 6
    abstract.clear()  # is the caller's own
    assert abstract_params(TOWER)


def test_shapes_are_known_without_making_the_module_again():
    class Halves(nnx.Module):
        """Noise and constants, of two types."""

        def __init__(self, rngs):
            made.append(self)
            for name, std in (("noise", {"std": 2.0}), ("ones", {})):
                value = jnp.ones((2, 3), jnp.bfloat16)
                setattr(self, name, nnx.Param(value, **std))

    made: list[Halves] = []
    network = functional(Halves)
    assert len(made) == 1
    known = abstract_params(network)
    assert len(made) == 1
    assert known == jax.eval_shape(network.init, jax.random.key(0))
    assert abstract_params(network._replace(shapes=None)) == known


def test_a_missing_parameter_is_named():
    params = TOWER.init(jax.random.key(0))
    del params["layers"]["3"]["bias"]
    with pytest.raises(UserError, match="layers/3/bias"):
        TOWER.apply(params, jnp.ones((1, 4)))


def test_a_network_is_made_once_for_a_config():
    class Sized(nnx.Module):
        def __init__(self, cfg, rngs):
            made.append(cfg)
            self.array = nnx.Param(jnp.ones(cfg))

    made: list[tuple[int, ...]] = []
    first, other = network_of(Sized, (2,)), network_of(Sized, (3,))
    assert network_of(Sized, (2,)) is first
    assert made == [(2,), (3,)]
    assert other.shapes["array"].shape == (3,)
