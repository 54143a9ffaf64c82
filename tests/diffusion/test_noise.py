import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.diffusion.noise import example_keys, example_noise

KEY = jax.random.key(3)


def test_noise_belongs_to_the_example():
    keys = example_keys(KEY, jnp.arange(8))
    whole = example_noise(keys, (4, 3))
    assert whole.shape == (8, 4, 3)
    assert whole.dtype == jnp.float32
    some = jnp.array([6, 1, 3])
    np.testing.assert_array_equal(
        example_noise(example_keys(KEY, some), (4, 3)), whole[some]
    )


def test_distributions():
    keys = example_keys(KEY, jnp.arange(20_000))
    noise = example_noise(keys, (2,))
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(2), atol=0.04)
