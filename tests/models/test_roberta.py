import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.roberta import CLAP_TEXT
from tests.networks import random_params


def tiny(**options):
    settings = {
        "vocabulary": 11,
        "positions": 9,
        "width": 8,
        "depth": 2,
        "heads": 2,
        "hidden": 12,
        "projection": 5,
    }
    return RobertaConfig(**(settings | options))


@functools.cache
def network(**options):
    net = build_clap_text(tiny(**options))
    encode = jax.jit(functools.partial(net.apply, method="encode"))
    return jax.jit(net.apply), encode, random_params(net)


# 1 is padding.
TOKENS = jnp.asarray([[2, 3, 4, 1, 1, 1], [4, 5, 6, 7, 8, 9]], jnp.int32)


def test_padding_neither_counts_nor_is_seen():
    _, encode, params = network()
    moved = jnp.asarray([[1, 2, 1, 3, 4, 1], [4, 5, 6, 7, 8, 9]], jnp.int32)
    ours = encode(params, moved)[0, jnp.asarray([1, 3, 4])]
    np.testing.assert_allclose(ours, encode(params, TOKENS)[0, :3], atol=1e-5)


def test_order_counts_and_every_token_but_those_of_a_mask():
    apply, _, params = network()
    vector = apply(params, TOKENS)[1]
    swapped = apply(params, TOKENS[:, jnp.asarray([0, 2, 1, 3, 4, 5])])[1]
    mask = jnp.asarray([[True] * 6, [True] * 5 + [False]])
    masked = apply(params, TOKENS, mask)[1]
    for other in (swapped, masked):
        assert np.abs(vector - other).max() > 1e-4
    spoilt = apply(params, TOKENS.at[1, 5].set(3), mask)[1]
    np.testing.assert_array_equal(spoilt, masked)


def test_the_vector_is_of_length_one():
    apply, _, params = network()
    vectors = apply(params, TOKENS)
    assert vectors.shape == (2, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_published_tower_has_as_many_parameters():
    # RoBERTa-base, with its pooler, and two layers from 768 by 512 to 512.
    exactly = 124_645_632 + 769 * 512 + 513 * 512
    assert count(abstract_params(build_clap_text(CLAP_TEXT))) == exactly
    assert CLAP_TEXT.max_tokens == 512


def test_bfloat16_is_near_float32():
    (single, _, params), (half, _, _) = (
        network(depth=1, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    exact, near = single(params, TOKENS), half(params, TOKENS)
    assert near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.05)
    assert np.abs(near - exact).max() > 1e-4


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="divisible by heads, got 8 and 3"):
        tiny(heads=3)
    with pytest.raises(UserError, match="unknown dtype"):
        tiny(dtype="int8")
    net = build_clap_text(tiny())
    with pytest.raises(UserError, match="at most 7 tokens, got 8; cut the text"):
        net.apply(random_params(net), jnp.ones((1, 8), jnp.int32))
