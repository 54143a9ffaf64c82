import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn import fast_fir
from tests.networks import normal

C = fast_fir.CHANNELS


def pair(length, width, channels=(C, C + 8)):
    kernel = normal(width, *channels, seed=1) / np.float32((width * C) ** 0.5)
    return normal(2, length, channels[0]), kernel


@functools.partial(jax.jit, static_argnums=2)
def both_ways(x, kernel, dilation):
    ways = (fast_fir.two_phases, fast_fir.plain)
    return [way(x, kernel, dilation) for way in ways]


@pytest.mark.parametrize("width", [3, 7, 9, 11])
@pytest.mark.parametrize(("length", "dilation"), [(1, 1), (40, 1), (41, 3), (7, 5)])
def test_two_phases_equal_one(length, width, dilation):
    """For odd and even lengths, also below the kernel's reach."""
    x, kernel = pair(length, width, (3, 5))
    found, expected = both_ways(x, kernel, dilation)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


def test_gradients_are_those_of_the_plain_convolution():
    x, kernel = pair(50, 7)

    def loss(way):
        return lambda x, kernel: jnp.sum(jnp.sin(way(x, kernel, dilation=3)))

    @jax.jit
    def gradients(*at):
        ways = (fast_fir.conv, fast_fir.plain)
        return [jax.grad(loss(way), argnums=(0, 1))(*at) for way in ways]

    found, expected = gradients(x, kernel)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("platform", "dtype", "width", "channels", "stride", "convolutions"),
    [
        ("cpu", "float32", 7, C, 1, 3),
        ("cuda", "float32", 7, C, 1, 1),
        ("tpu", "float32", 7, C, 1, 1),
        ("cpu", "bfloat16", 7, C, 1, 1),  # differences would lose what it has
        ("cpu", "float32", 5, C, 1, 1),
        ("cpu", "float32", 7, C - 1, 1, 1),
        ("cpu", "float32", 7, C, 2, 1),
    ],
)
def test_two_phases_only_where_they_pay(
    platform, dtype, width, channels, stride, convolutions
):
    x, kernel = (part.astype(dtype) for part in pair(40, width, (channels, channels)))
    traced = jax.jit(fast_fir.conv, static_argnums=2).trace(x, kernel, stride)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.convolution") == convolutions
