import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.patches import PatchesConfig, build_patches
from diffusion_audio.models.vae import sample_moments


def test_an_image_comes_back_whatever_the_noise():
    cfg = PatchesConfig(4)
    network = build_patches(cfg)
    image = jax.random.normal(jax.random.key(0), (2, 8, 12, 1))
    assert network.init(jax.random.key(0)) == {}
    moments = network.apply(None, image, method="encode")
    assert moments.mean.shape == (2, 2, 3, cfg.latent)
    z = sample_moments(moments, jnp.ones_like(moments.mean))
    back = network.apply(None, z, method="decode")
    np.testing.assert_allclose(back, image, atol=1e-6)


def test_a_patch_is_a_square_of_the_image():
    image = np.arange(64.0).reshape(1, 8, 8, 1)
    network = build_patches(PatchesConfig(2))
    mean = network.apply(None, jnp.asarray(image), method="encode").mean
    np.testing.assert_array_equal(mean[0, 1, 2], image[0, 2:4, 4:6, 0].ravel())


def test_impossible_sizes():
    with pytest.raises(UserError, match="1 or more"):
        PatchesConfig(0)
    network = build_patches(PatchesConfig(3))
    with pytest.raises(UserError, match="divisible by 3"):
        network.apply(None, jnp.zeros((1, 8, 9, 1)), method="encode")
