import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import (
    Moments,
    VAEConfig,
    build_vae,
    kl,
    sample_moments,
)
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.nn.layers import from_patches, to_patches
from tests.networks import normal, random_params


def tiny(**options):
    settings = {"channels": (4, 8), "blocks": 1, "latent": 3, "groups": 2}
    return VAEConfig(**(settings | options))


@functools.cache
def network(**options):
    """A tiny network's encode and decode in one compiled function, and parameters."""
    net = build_vae(tiny(**options))

    @jax.jit
    def there_and_back(params, image):
        moments = net.apply(params, image, method="encode")
        return moments, net.apply(params, moments.mean, method="decode")

    return there_and_back, random_params(net)


def test_audioldm_parameter_counts():
    params = abstract_params(build_vae(VAEConfig()))
    assert round(count(params) / 1e6, 2) == 55.38
    encoder = count(params["encoder"]) + count(params["quant_conv"])
    decoder = count(params["decoder"]) + count(params["post_quant_conv"])
    assert (round(encoder / 1e6, 2), round(decoder / 1e6, 2)) == (22.40, 32.98)


def test_stable_diffusion_parameter_count():
    cfg = VAEConfig(in_channels=3, channels=(128, 256, 512, 512), latent=4)
    assert round(count(abstract_params(build_vae(cfg))) / 1e6, 2) == 83.65


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 2),
        ({"channels": (4, 4, 8)}, 4),
        ({"patch": 4}, 8),
        ({"channels": (8,), "patch": 2, "mid_attention": False}, 2),
        ({"in_channels": 3, "blocks": 2}, 2),
    ],
)
def test_shapes_there_and_back(options, factor):
    cfg = tiny(**options)
    assert cfg.factor == factor
    there_and_back, params = network(**options)
    image = jnp.zeros((2, 3 * factor, 2 * factor, cfg.in_channels))
    moments, rebuilt = jax.eval_shape(there_and_back, params, image)
    assert moments.mean.shape == moments.log_variance.shape == (2, 3, 2, 3)
    assert rebuilt.shape == image.shape


def test_a_patch_becomes_channels_and_comes_back():
    x = normal(2, 6, 8, 3)
    folded = to_patches(jnp.asarray(x), 2)
    np.testing.assert_array_equal(folded[1, 2, 3, :3], x[1, 4, 6])
    np.testing.assert_array_equal(folded[1, 2, 3, -3:], x[1, 5, 7])
    np.testing.assert_array_equal(from_patches(folded, 2), x)


def test_moments_are_sampled_with_the_noise_given():
    mean, log_variance, eps = (normal(2, 3, 2, 4, seed=i) for i in range(3))
    moments = Moments(mean, log_variance)
    np.testing.assert_array_equal(sample_moments(moments, np.zeros_like(eps)), mean)
    np.testing.assert_allclose(
        sample_moments(moments, eps), mean + np.exp(log_variance / 2) * eps, rtol=1e-5
    )


def test_kl_is_zero_for_a_standard_normal_and_equals_its_integral():
    zeros = jnp.zeros((2, 3, 2, 4))
    np.testing.assert_array_equal(kl(Moments(zeros, zeros)), [0, 0])
    # One value a latent: KL = E_q[log q - log p], integrated numerically.
    mean, variance = 0.7, 0.3
    z = np.linspace(-12, 12, 200_001)
    q = np.exp(-((z - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    gap = -((z - mean) ** 2) / (2 * variance) - np.log(variance) / 2 + z**2 / 2
    expected = np.sum(q * gap) * (z[1] - z[0])
    moments = Moments(zeros[:1] + mean, zeros[:1] + np.float32(np.log(variance)))
    np.testing.assert_allclose(kl(moments), [24 * expected], rtol=1e-4)


def test_log_variance_is_bounded():
    there_and_back, params = network()
    params = jax.tree.map(np.copy, params)
    params["quant_conv"]["bias"][3:] = [1e3, -1e3, 0]
    moments, _ = there_and_back(params, normal(2, 8, 8, 1))
    assert (moments.log_variance[..., 0] == 20).all()
    assert (moments.log_variance[..., 1] == -30).all()


def test_bfloat16_is_near_float32():
    (single, params), (half, _) = network(), network(dtype="bfloat16")
    image = normal(2, 8, 8, 1)
    exact, near = (jax.tree.leaves(f(params, image)) for f in (single, half))
    for a, b in zip(exact, near, strict=True):
        assert b.dtype == jnp.float32
        assert 0 < np.linalg.norm(a - b) < 0.05 * np.linalg.norm(a)


def test_bad_configs_are_refused():
    with pytest.raises(UserError, match=r"divisible by groups=2, got \(4, 7\)"):
        tiny(channels=[4, 7])
    with pytest.raises(UserError, match="unknown dtype"):
        tiny(dtype="float8")
    assert tiny(channels=[4, 8]) == tiny()


@pytest.mark.parametrize(
    ("method", "shape", "message"),
    [
        ("encode", (1, 6, 8, 1), r"divisible by 4, got 6 x 8; pad or crop"),
        (
            "encode",
            (1, 8, 8, 2),
            r"image of shape \[B, T, F, 1\], got \[1, 8, 8, 2\]",
        ),
        ("decode", (1, 2, 2, 4), r"latents of shape \[B, T, F, 3\]"),
    ],
)
def test_bad_inputs_are_refused(method, shape, message):
    net = build_vae(tiny(channels=(4, 4, 4)))
    with pytest.raises(UserError, match=message):
        net.apply(random_params(net), normal(*shape), method=method)
