import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.t5 import T5Config, build_t5, relative_buckets
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.t5 import FLAN_T5_LARGE
from tests.networks import random_params


def tiny(**options):
    settings = {
        "vocabulary": 11,
        "width": 8,
        "depth": 2,
        "heads": 2,
        "head_width": 3,
        "hidden": 10,
        "buckets": 8,
        "max_distance": 5,
    }
    return T5Config(**(settings | options))


@functools.cache
def network(**options):
    net = build_t5(tiny(**options))
    return jax.jit(net.apply), random_params(net)


TOKENS = jnp.asarray([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]], jnp.int32)


def test_only_relative_positions_count_and_padding_has_no_influence():
    apply, params = network()
    states = apply(params, TOKENS, TOKENS != 0)
    assert states.shape == (2, 6, 8)
    # The same three words after three places of other padding.
    moved = jnp.asarray([[7, 7, 7, 1, 2, 3], [4, 5, 6, 7, 8, 9]], jnp.int32)
    mask = jnp.asarray([[False] * 3 + [True] * 3, [True] * 6])
    late = apply(params, moved, mask)
    np.testing.assert_allclose(late[0, 3:], states[0, :3], atol=1e-5)
    np.testing.assert_allclose(late[1], states[1], atol=1e-5)


def test_order_counts_and_without_a_mask_every_token_does():
    apply, params = network()
    states = apply(params, TOKENS[1:])
    swapped = apply(params, TOKENS[1:, jnp.asarray([1, 0, 2, 3, 4, 5])])
    last = apply(params, TOKENS[1:].at[0, 5].set(1))
    for other in (swapped, last):
        assert np.abs(other[0, 3] - states[0, 3]).max() > 1e-3


def test_classes_of_positions():
    """Of 8 classes and distances up to 5: 0, 1, then 2 and 3, then all from 4 on."""
    rows = relative_buckets(6, 8, 5)
    assert rows[0].tolist() == [0, 5, 6, 6, 7, 7]
    assert rows[5].tolist() == [3, 3, 2, 2, 1, 0]


def test_a_published_encoder_has_as_many_parameters():
    assert count(abstract_params(build_t5(FLAN_T5_LARGE))) == 341_231_104


def test_bfloat16_is_near_float32():
    (single, params), (half, _) = (
        network(depth=1, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    exact, near = single(params, TOKENS), half(params, TOKENS)
    assert near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.05 * np.abs(exact).max())
    assert np.abs(near - exact).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"activation": "gelo"}, "unknown activation 'gelo'; did you mean 'gelu'"),
        ({"dtype": "int8"}, "unknown dtype"),
        ({"buckets": 7}, "an even number of buckets, 4 or more, got 7"),
        ({"buckets": 2}, "an even number of buckets, 4 or more, got 2"),
        ({"max_distance": 2}, "above a quarter of the 8 buckets, got 2"),
    ],
)
def test_mistakes_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        tiny(**options)
