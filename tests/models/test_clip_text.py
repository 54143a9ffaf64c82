import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.clip_text import ClipTextConfig, build_clip_text
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.clip_text import VIT_L14
from tests.networks import random_params


def tiny(**options):
    settings = {
        "vocabulary": 11,
        "max_tokens": 6,
        "width": 8,
        "depth": 2,
        "heads": 2,
        "hidden": 12,
    }
    return ClipTextConfig(**(settings | options))


@functools.cache
def network(**options):
    net = build_clip_text(tiny(**options))
    return jax.jit(net.apply), random_params(net)


TOKENS = jnp.asarray([[1, 2, 3, 9, 9, 9], [4, 10, 6, 7, 9, 0]], jnp.int32)


def test_no_token_sees_a_later_one():
    apply, params = network()
    tokens = apply(params, TOKENS).tokens
    changed = apply(params, TOKENS.at[:, 3].set(5)).tokens
    np.testing.assert_array_equal(changed[:, :3], tokens[:, :3])
    assert (np.abs(changed[:, 3:] - tokens[:, 3:]).max(axis=2) > 1e-4).all()


@pytest.mark.parametrize(("eos", "places"), [(2, [3, 1]), (9, [3, 4]), (8, [0, 0])])
def test_the_vector_is_the_state_of_the_token_that_ends_the_text(eos, places):
    """2 stands for the highest id; the first place if there are several or none."""
    apply, params = network(eos=eos)
    text = apply(params, TOKENS)
    states = text.tokens[jnp.arange(2), np.array(places)]
    np.testing.assert_array_equal(text.vector, states)


def test_masked_tokens_have_no_influence():
    apply, params = network()
    mask = jnp.asarray([[True, False, True, True, False, False]] * 2)
    tokens = apply(params, TOKENS, mask).tokens
    other = apply(params, TOKENS.at[:, 1].set(5).at[:, 4:].set(7), mask).tokens
    kept = np.flatnonzero(mask[0])
    np.testing.assert_array_equal(other[:, kept], tokens[:, kept])
    assert np.abs(tokens - apply(params, TOKENS).tokens)[:, 2].max() > 1e-4


def test_a_published_tower_has_as_many_parameters():
    assert count(abstract_params(build_clip_text(VIT_L14))) == 123_060_480


def test_bfloat16_is_near_float32():
    (single, params), (half, _) = (
        network(depth=1, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    exact, near = single(params, TOKENS).tokens, half(params, TOKENS).tokens
    assert near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.05 * np.abs(exact).max())
    assert np.abs(near - exact).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"activation": "gelo"}, "unknown activation"),
        ({"dtype": "int8"}, "unknown dtype"),
        ({"heads": 3}, "divisible by heads, got 8 and 3"),
    ],
)
def test_mistakes_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        tiny(**options)


def test_a_text_that_is_too_long_is_refused():
    net = build_clip_text(tiny())
    with pytest.raises(UserError, match="at most 6 tokens, got 7; cut the text"):
        net.apply(random_params(net), jnp.ones((1, 7), jnp.int32))
