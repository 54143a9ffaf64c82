import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from diffusion_audio.nn import winograd
from diffusion_audio.nn.convolution import LAYOUTS
from diffusion_audio.nn.functional import functional
from diffusion_audio.nn.layers import conv
from tests.networks import normal, random_params

C = winograd.CHANNELS
USUAL = ((1, 1), ((1, 1), (1, 1)))


def pair(height, width, channels=(3, 5)):
    kernel = normal(3, 3, *channels, seed=1) / np.float32(3 * channels[0] ** 0.5)
    return normal(2, height, width, channels[0]), kernel


def plain(x, kernel):
    return lax.conv_general_dilated(x, kernel, *USUAL, dimension_numbers=LAYOUTS[4])


@jax.jit
def both_ways(x, kernel):
    def outputs(way):
        y, pull = jax.vjp(way, x, kernel)
        return (y, *pull(jnp.sin(y)))

    return outputs(winograd.minimal), outputs(plain)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 2), (8, 1), (13, 4)])
def test_the_minimal_filter_is_the_convolution(size):
    """For odd and even frames, and its gradients are the convolution's."""
    for found, expected in zip(*both_ways(*pair(*size)), strict=True):
        np.testing.assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("dtype", "size", "channels", "stride", "height", "convolutions"),
    [
        ("float32", 3, C, 1, 16, 4),
        ("bfloat16", 3, C, 1, 16, 1),  # differences would lose what it has
        ("float32", 1, C, 1, 16, 1),
        ("float32", 5, C, 1, 16, 1),
        ("float32", 3, C - 1, 1, 16, 1),
        ("float32", 3, C, 2, 16, 1),
        ("float32", 3, C, 1, 15, 1),  # its kernel is larger than the map
    ],
)
def test_a_layer_takes_it_where_it_pays(
    dtype, size, channels, stride, height, convolutions
):
    network = functional(
        lambda rngs: conv(
            channels, channels, size, stride=stride, dtype=jnp.dtype(dtype), rngs=rngs
        )
    )
    x = jnp.zeros((1, height, winograd.PLACES // 16, channels))
    text = jax.jit(network.apply).lower(random_params(network), x).as_text()
    assert text.count("stablehlo.convolution") == convolutions


def test_accelerators_have_their_own_ways(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, kernel = pair(4, 4, (C, C))
    traced = jax.make_jaxpr(lambda *at: winograd.conv_general_dilated(*at, *USUAL))(
        x, kernel
    )
    assert str(traced).count("convolve[") == 1
