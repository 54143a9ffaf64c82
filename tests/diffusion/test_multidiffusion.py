"""Windows: they cover, their weights are one, and what is local they do not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_audio.diffusion.multidiffusion import multidiffusion, overlapping
from diffusion_audio.errors import UserError

WINDOWS = overlapping(21, 8, 4)


@st.composite
def axes(draw):
    size = draw(st.integers(1, 12))
    return draw(st.integers(1, 60)), size, draw(st.integers(0, size // 2))


@given(axes())
def test_windows_cover_an_axis_and_their_weights_are_one(axis):
    length, size, overlap = axis
    windows = overlapping(*axis)
    assert windows.length == length
    assert windows.size == min(size, length)
    assert windows.starts[0] == 0
    steps = np.diff(windows.starts)
    assert (steps > 0).all()
    assert (steps <= size - overlap).all()
    fewer = windows.size + (len(steps) - 1) * (size - overlap)
    assert not len(steps) or fewer < length  # one less would not do
    total = np.zeros(length)
    for start, weights in zip(windows.starts, windows.weights, strict=True):
        assert (weights > 0).all()
        total[start : start + windows.size] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_rise_and_fall_where_windows_overlap():
    first, second = overlapping(12, 8, 4).weights
    assert (first[:4] == 1).all()
    assert (np.diff(first[4:]) < 0).all()
    np.testing.assert_allclose(first[4:] + second[:4], 1, atol=1e-6)
    np.testing.assert_allclose(first[4:], second[3::-1], atol=1e-6)


def test_scaled_windows_lie_where_the_places_were():
    scaled = WINDOWS.scaled(3)
    assert (scaled.length, scaled.size) == (63, 24)
    np.testing.assert_array_equal(scaled.starts, 3 * WINDOWS.starts)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_denoiser_of_places_is_the_same_in_windows(axis):
    def denoise(x, t):
        return jnp.tanh(x) + t.astype(jnp.float32)[:, None, None]

    shape = (2, 21, 3) if axis == 1 else (2, 3, 21)
    x = jax.random.normal(jax.random.key(0), shape)
    t = jnp.array([3, 5])
    made = multidiffusion(denoise, WINDOWS, axis)(x, t)
    np.testing.assert_allclose(made, denoise(x, t), atol=1e-6)


def test_each_place_is_the_weighted_mean_of_what_its_windows_say():
    def mean(x, t):  # all of a window matters
        return jnp.broadcast_to(x.mean(axis=1, keepdims=True), x.shape)

    x = np.random.default_rng(0).standard_normal((1, 21, 2), np.float32)
    expected = np.zeros_like(x)
    for start, weights in zip(WINDOWS.starts, WINDOWS.weights, strict=True):
        here = slice(start, start + 8)
        expected[:, here] += weights[:, None] * x[:, here].mean(axis=1, keepdims=True)
    made = multidiffusion(mean, WINDOWS, 1)(jnp.asarray(x), jnp.zeros(1))
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_outputs_of_more_channels_are_averaged_too():
    def denoise(x, t):
        return jnp.concatenate([x, -x], axis=-1)

    x = jax.random.normal(jax.random.key(0), (1, 21, 2))
    made = multidiffusion(denoise, WINDOWS, 1)(x, jnp.zeros(1))
    np.testing.assert_allclose(made, denoise(x, None), atol=1e-6)


def test_one_window_is_the_denoiser_itself():
    def denoise(x, t):
        return x

    assert multidiffusion(denoise, overlapping(8, 8, 4), 1) is denoise
    assert multidiffusion(denoise, overlapping(5, 8, 4), 1) is denoise


def test_the_network_is_in_the_program_once_however_many_windows():
    def denoise(x, t):
        return jnp.sinh(x)

    def sines(length):
        whole = multidiffusion(denoise, overlapping(length, 8, 4), 1)
        return str(jax.make_jaxpr(whole)(jnp.ones((2, length, 3)), 0)).count("sinh")

    assert sines(100) == sines(8) == 1


@pytest.mark.parametrize("overlap", [-1, 5])
def test_an_overlap_that_cannot_be(overlap):
    with pytest.raises(UserError, match="overlap from 0 to half of their size 8"):
        overlapping(20, 8, overlap)
