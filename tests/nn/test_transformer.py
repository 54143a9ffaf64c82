import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from diffusion_audio.nn.functional import functional
from diffusion_audio.nn.transformer import GEGLU, SpatialTransformer, TextBlock
from tests.models import reference
from tests.networks import normal, random_params

F32 = jnp.float32


def stack(context, projection="conv", depth=1):
    return functional(
        lambda rngs: SpatialTransformer(
            8,
            2,
            context,
            depth=depth,
            groups=2,
            projection=projection,
            dtype=F32,
            rngs=rngs,
        )
    )


def test_a_new_stack_is_the_identity():
    network = stack(None)
    x = normal(2, 3, 4, 8)
    params = network.init(jax.random.key(0))
    np.testing.assert_array_equal(network.apply(params, x), x)


def test_conv_and_linear_projections_are_the_same_function():
    x, context = normal(2, 3, 4, 8), normal(2, 5, 6)
    conv, linear = stack(6, "conv"), stack(6, "linear")
    params = random_params(conv)
    assert params["proj_in"]["kernel"].shape == (1, 1, 8, 8)
    expected = conv.apply(params, x, context)
    for name in ("proj_in", "proj_out"):
        params[name]["kernel"] = params[name]["kernel"][0, 0]
    np.testing.assert_allclose(linear.apply(params, x, context), expected, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
def test_depth_is_the_number_of_blocks(depth):
    params = random_params(stack(None, depth=depth))
    assert sorted(params["transformer_blocks"]) == [str(i) for i in range(depth)]


def test_places_are_treated_alike():
    """Without positions, permuting the places permutes the result."""
    network = stack(6)
    params = random_params(network)
    x, context = normal(2, 3, 4, 8), normal(2, 5, 6)
    order = np.random.default_rng(1).permutation(12)
    shuffled = x.reshape(2, 12, 8)[:, order].reshape(x.shape)
    out = np.asarray(network.apply(params, x, context)).reshape(2, 12, 8)
    other = np.asarray(network.apply(params, shuffled, context)).reshape(2, 12, 8)
    np.testing.assert_allclose(other, out[:, order], atol=1e-5)


def test_geglu_gates_the_first_half_by_the_gelu_of_the_second():
    network = functional(lambda rngs: GEGLU(3, dtype=F32, rngs=rngs))
    params, x = random_params(network), normal(2, 3)
    y = x @ params["proj"]["kernel"] + params["proj"]["bias"]
    hidden, gate = y[:, :12], y[:, 12:]
    y = hidden * gate * 0.5 * (1 + erf(gate / np.sqrt(2)))
    expected = y @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(network.apply(params, x), expected, atol=1e-5)


def test_text_block_does_not_read_masked_tokens():
    network = functional(lambda rngs: TextBlock(8, 2, dtype=F32, rngs=rngs))
    params, x = random_params(network), normal(1, 5, 8)
    mask = jnp.asarray([[True, True, True, False, False]])
    spoilt = np.where(np.asarray(mask)[:, :, None], x, 100)
    out, other = network.apply(params, x, mask), network.apply(params, spoilt, mask)
    np.testing.assert_array_equal(out[:, :3], other[:, :3])


@pytest.mark.parametrize("width", [None, 6])
def test_stack_equals_the_definition(width):
    """Of an image so faint that the epsilon of the first norm counts."""
    network = stack(width, depth=2)
    params, x = random_params(network), 2e-3 * normal(2, 3, 4, 8)
    mask = jnp.asarray([[True, False, True, False, True], [False, True] * 2 + [True]])
    context = () if width is None else (normal(2, 5, 6), mask)
    expected = reference.image_transformer(x, params, 2, 2, *context)
    got = network.apply(params, x, *context)
    np.testing.assert_allclose(got, expected, atol=1e-4)
