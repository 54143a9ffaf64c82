import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn.functional import functional
from diffusion_audio.nn.resnet import Downsample, ResnetBlock, Upsample
from tests.models import reference
from tests.networks import normal, random_params

F32 = jnp.float32


def resnet(c_in, c_out, **options):
    return functional(
        lambda rngs: ResnetBlock(
            c_in, c_out, groups=2, epsilon=1e-5, dtype=F32, rngs=rngs, **options
        )
    )


def test_block_with_a_zero_start_is_the_identity():
    network = resnet(4, 4, time=6, zero=True)
    x = normal(2, 3, 5, 4)
    params = network.init(jax.random.key(0))
    np.testing.assert_array_equal(network.apply(params, x, normal(2, 6)), x)
    params = random_params(network)
    assert not np.allclose(network.apply(params, x, normal(2, 6)), x, atol=0.1)


@pytest.mark.parametrize("scale_shift", [False, True])
def test_block_uses_its_time_and_its_shortcut(scale_shift):
    network = resnet(4, 6, time=6, scale_shift=scale_shift)
    params, x = random_params(network), normal(2, 3, 5, 4)
    out = network.apply(params, x, normal(2, 6))
    assert out.shape == (2, 3, 5, 6)
    assert not np.allclose(out, network.apply(params, x, normal(2, 6, seed=1)))
    assert params["conv_shortcut"]["kernel"].shape == (1, 1, 4, 6)
    assert "time_emb_proj" not in random_params(resnet(4, 4))


@pytest.mark.parametrize(("symmetric", "expected"), [(True, (4, 3)), (False, (3, 3))])
def test_downsampling_pads_as_unets_or_as_autoencoders(symmetric, expected):
    network = functional(
        lambda rngs: Downsample(1, symmetric=symmetric, dtype=F32, rngs=rngs)
    )
    corner = np.zeros((3, 3, 1, 1), np.float32)
    corner[0, 0] = 1  # reads the value above and to the left of the centre
    params = {"conv": {"kernel": corner, "bias": np.zeros(1, np.float32)}}
    x = np.arange(1, 43, dtype=np.float32).reshape(1, 7, 6, 1)
    out = np.asarray(network.apply(params, x))[0, :, :, 0]
    assert out.shape == expected
    if symmetric:
        np.testing.assert_array_equal(out[0], 0)
        np.testing.assert_array_equal(out[1:, 1:], x[0, 1::2, 1::2, 0][:, :2])
    else:
        np.testing.assert_array_equal(out, x[0, :6:2, ::2, 0])


def test_upsampling_repeats_and_crops():
    network = functional(lambda rngs: Upsample(2, dtype=F32, rngs=rngs))
    middle = np.zeros((3, 3, 2, 2), np.float32)
    middle[1, 1] = np.eye(2)
    params = {"conv": {"kernel": middle, "bias": np.zeros(2, np.float32)}}
    x = normal(1, 3, 2, 2)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(network.apply(params, x), doubled)
    cropped = network.apply(params, x, like=jnp.zeros((1, 5, 4, 9)))
    np.testing.assert_array_equal(cropped, doubled[:, :5, :4])


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("time", [None, 6])
def test_block_equals_the_definition(time, scale_shift):
    network = functional(
        lambda rngs: ResnetBlock(
            4, 6, groups=2, epsilon=0.5, time=time, scale_shift=scale_shift,
            dtype=F32, rngs=rngs,
        )
    )  # fmt: skip
    params, x = random_params(network), normal(2, 3, 5, 4)
    told = () if time is None else (normal(2, 6),)
    expected = reference.resnet(x, params, 2, 0.5, *told, scale_shift=scale_shift)
    np.testing.assert_allclose(network.apply(params, x, *told), expected, atol=1e-5)
