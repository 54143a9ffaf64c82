import math

import jax.numpy as jnp
import numpy as np

from diffusion_audio.nn.embeddings import timestep_embedding


def test_cosines_come_first_and_the_slowest_rate_is_near_one_over_the_period():
    out = timestep_embedding(jnp.asarray([0, 7]), 6)
    rates = [1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3)]
    np.testing.assert_allclose(out[0], [1, 1, 1, 0, 0, 0])
    expected = [math.cos(7 * r) for r in rates] + [math.sin(7 * r) for r in rates]
    np.testing.assert_allclose(out[1], expected, atol=1e-5)


def test_integers_and_floats_agree_and_halves_lie_between():
    whole = timestep_embedding(jnp.asarray([4]), 8)
    np.testing.assert_array_equal(whole, timestep_embedding(jnp.asarray([4.0]), 8))
    assert not np.allclose(whole, timestep_embedding(jnp.asarray([4.5]), 8))


def test_the_longest_period_is_an_option():
    got = timestep_embedding(jnp.asarray([3.0]), 4, max_period=100.0)
    expected = [np.cos(3.0), np.cos(0.3), np.sin(3.0), np.sin(0.3)]
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)
