import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn import fast_fir

C = fast_fir.CHANNELS


def pair(length, width, channels=(C, C + 8)):
    keys = jax.random.split(jax.random.key(length * width))
    x = jax.random.normal(keys[0], (2, length, channels[0]))
    return x, jax.random.normal(keys[1], (width, *channels)) / (width * C) ** 0.5


@pytest.mark.parametrize("width", [3, 7, 9, 11])
@pytest.mark.parametrize(("length", "dilation"), [(1, 1), (40, 1), (41, 3), (7, 5)])
def test_two_phases_equal_one(length, width, dilation):
    """For odd and even lengths, also below the kernel's reach."""
    x, kernel = pair(length, width, (3, 5))
    expected = fast_fir.plain(x, kernel, dilation)
    np.testing.assert_allclose(
        fast_fir.two_phases(x, kernel, dilation),
        expected,
        atol=2e-6 * abs(expected).max(),
    )


def test_gradients_are_those_of_the_plain_convolution():
    x, kernel = pair(50, 7)

    def loss(way):
        return lambda x, kernel: jnp.sum(jnp.sin(way(x, kernel, dilation=3)))

    found = jax.grad(loss(fast_fir.conv), argnums=(0, 1))(x, kernel)
    expected = jax.grad(loss(fast_fir.plain), argnums=(0, 1))(x, kernel)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * abs(theirs).max())


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
