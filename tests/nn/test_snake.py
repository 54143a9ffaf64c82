import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffusion_audio.errors import UserError
from diffusion_audio.nn.snake import Activation, downsample, low_pass, upsample


def tone(frequency, samples=256):
    return jnp.sin(2 * jnp.pi * frequency * jnp.arange(float(samples)))[None, :, None]


def power(x, frequency):
    spectrum = np.abs(np.fft.rfft(np.asarray(x)[0, 64:-64, 0] * np.hanning(128)))
    return spectrum[round(frequency * 128)] ** 2


def test_filter_is_symmetric_and_passes_constants():
    taps = np.array(low_pass())
    np.testing.assert_allclose(taps, taps[::-1])
    for resample in (upsample, downsample):
        np.testing.assert_allclose(resample(jnp.ones((1, 32, 2))), 1, atol=1e-2)
    np.testing.assert_allclose(downsample(jnp.ones((1, 32, 2))), 1, atol=1e-6)


def test_resampling_is_a_filter_between_zeros():
    x = jax.random.normal(jax.random.key(0), (1, 40, 1))
    taps = np.array(low_pass())
    spread = np.zeros(80)
    spread[::2] = 2 * np.asarray(x)[0, :, 0]
    up = np.convolve(spread, taps)[5:85]
    np.testing.assert_allclose(upsample(x)[0, 12:-12, 0], up[12:-12], atol=1e-5)
    down = np.convolve(np.asarray(x)[0, :, 0], taps)[6:][::2]
    np.testing.assert_allclose(downsample(x)[0, 6:-6, 0], down[6:14], atol=1e-5)


def test_up_and_down_keep_what_is_low():
    x = tone(1 / 16)
    y = downsample(upsample(x))
    assert y.shape == x.shape
    np.testing.assert_allclose(y[0, 32:-32], x[0, 32:-32], atol=0.02)


def test_antialiasing_takes_false_tones_away():
    """The square of a tone at 3/8 of the rate would fold from 3/4 back to 1/4."""
    x = 0.3 * tone(3 / 8)
    false = {}
    for antialias in (False, True):
        act = Activation("snake", 1, slope=0.1, antialias=antialias)
        false[antialias] = power(act(x), 1 / 4)
    assert false[True] < 0.1 * false[False]


@pytest.mark.parametrize("kind", ["snake", "snakebeta"])
def test_snake_by_its_equation(kind):
    act = Activation(kind, 2, slope=0.1)
    a, b = np.array([0.5, 2.0]), np.array([3.0, 0.25])
    act.alpha = nnx.Param(jnp.log(jnp.float32(a)))
    if kind == "snakebeta":
        act.beta = nnx.Param(jnp.log(jnp.float32(b)))
    x = np.random.default_rng(0).normal(size=(1, 5, 2)).astype(np.float32)
    expected = x + np.sin(a * x) ** 2 / (b if kind == "snakebeta" else a)
    np.testing.assert_allclose(act(jnp.asarray(x)), expected, rtol=1e-5)


def test_unknown_kind():
    with pytest.raises(UserError, match="unknown activation 'snek'; did you mean 'sna"):
        Activation("snek", 1, slope=0.1)
