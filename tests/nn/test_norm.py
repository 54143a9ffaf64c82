import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn.functional import functional
from diffusion_audio.nn.norm import GroupNorm, LayerNorm, RMSNorm
from tests.networks import normal, random_params


def group(dtype, epsilon=1e-5):
    return functional(lambda rngs: GroupNorm(12, 3, epsilon=epsilon, dtype=dtype))


def layer(dtype):
    return functional(lambda rngs: LayerNorm(12, dtype=dtype))


def rms(dtype):
    return functional(lambda rngs: RMSNorm(12, dtype=dtype))


def reference(x, params, groups, epsilon):
    """The definition, in float64: [B, H, W, C] in ``groups`` groups, or rows if 0."""
    x = np.asarray(x, np.float64)
    if groups:
        y = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
        axes = (1, 3)
    else:
        y, axes = x, (-1,)
    y = (y - y.mean(axes, keepdims=True)) / np.sqrt(
        y.var(axes, keepdims=True) + epsilon
    )
    return y.reshape(x.shape) * params["scale"] + params["bias"]


@pytest.mark.parametrize("epsilon", [1e-5, 1e-1])
def test_group_norm_equals_the_definition(epsilon):
    network = group(jnp.float32, epsilon)
    params, x = random_params(network), 3 + 2 * normal(2, 5, 3, 12)
    np.testing.assert_allclose(
        network.apply(params, x), reference(x, params, 3, epsilon), atol=1e-5
    )


def test_layer_norm_equals_the_definition():
    network = layer(jnp.float32)
    params, x = random_params(network), 3 + 2 * normal(2, 5, 12)
    np.testing.assert_allclose(
        network.apply(params, x), reference(x, params, 0, 1e-5), atol=1e-5
    )


def test_rms_norm_equals_the_definition():
    network = functional(lambda rngs: RMSNorm(12, epsilon=0.1, dtype=jnp.float32))
    params, x = random_params(network), 3 + 2 * normal(2, 5, 12)
    square = np.square(x.astype(np.float64)).mean(-1, keepdims=True)
    expected = x / np.sqrt(square + 0.1) * params["scale"]
    np.testing.assert_allclose(network.apply(params, x), expected, atol=1e-5)


@pytest.mark.parametrize("make", [group, layer, rms], ids=["group", "layer", "rms"])
def test_statistics_are_float32_under_bfloat16(make):
    """A mean of 100 over a deviation of 1 leaves bfloat16 sums no digits."""
    params = random_params(make(jnp.bfloat16))
    x = jnp.asarray(100 + normal(1, 64, 64, 12), jnp.bfloat16)
    out = make(jnp.bfloat16).apply(params, x)
    assert out.dtype == jnp.bfloat16
    exact = make(jnp.float32).apply(params, x.astype(jnp.float32))
    np.testing.assert_allclose(np.asarray(out, np.float32), exact, atol=0.02)


def test_epsilon_is_a_hundred_thousandth_unless_told():
    """Of inputs so small that it counts."""
    x = 3e-3 * normal(2, 5, 3, 12)
    plain = functional(lambda rngs: GroupNorm(12, 3, dtype=jnp.float32))
    for network, groups in ((plain, 3), (layer(jnp.float32), 0)):
        params = random_params(network)
        expected = reference(x, params, groups, 1e-5)
        np.testing.assert_allclose(network.apply(params, x), expected, atol=1e-5)
