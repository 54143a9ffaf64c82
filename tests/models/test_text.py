import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.text import TextConfig, build_text
from diffusion_audio.nn.functional import abstract_params
from tests.networks import random_params


def tiny(**options):
    settings = {
        "vocabulary": 11,
        "max_tokens": 6,
        "contexts": (5, 3),
        "vector_dim": 4,
        "width": 8,
        "depth": 1,
        "heads": 2,
    }
    return TextConfig(**(settings | options))


@functools.cache
def network(**options):
    net = build_text(tiny(**options))
    return jax.jit(net.apply), random_params(net)


TOKENS = jnp.asarray([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]], jnp.int32)


def test_one_context_a_width_with_the_mask_of_the_tokens():
    apply, params = network()
    condition = apply(params, TOKENS)
    assert [c.tokens.shape for c in condition.contexts] == [(2, 6, 5), (2, 6, 3)]
    for context in condition.contexts:
        np.testing.assert_array_equal(context.mask, TOKENS != 0)
    assert condition.vector.shape == (2, 4)


@pytest.mark.parametrize("options", [{"contexts": ()}, {"vector_dim": None}])
def test_outputs_not_asked_for_are_absent(options):
    apply, params = network(**options)
    condition = apply(params, TOKENS)
    assert len(condition.contexts) == (2 if "vector_dim" in options else 0)
    assert (condition.vector is None) == ("vector_dim" in options)


def test_padding_has_no_influence():
    apply, params = network()
    padded, cut = apply(params, TOKENS[:1]), apply(params, TOKENS[:1, :3])
    np.testing.assert_allclose(padded.vector, cut.vector, atol=1e-5)
    for a, b in zip(padded.contexts, cut.contexts, strict=True):
        np.testing.assert_allclose(a.tokens[:, :3], b.tokens, atol=1e-5)


def test_order_and_every_token_count():
    apply, params = network()
    vector = apply(params, TOKENS[1:]).vector
    swapped = TOKENS[1:, jnp.asarray([1, 0, 2, 3, 4, 5])]
    last = TOKENS[1:].at[0, 5].set(1)
    for other in (swapped, last):
        assert not np.allclose(vector, apply(params, other).vector, atol=1e-4)


def test_a_new_encoder_tells_captions_apart_that_differ_in_one_word_of_twelve():
    net = build_text(
        tiny(
            vocabulary=30, max_tokens=12, contexts=(), vector_dim=64, width=64, depth=0
        )
    )
    a = jnp.arange(1, 13)[None]
    b = a.at[0, 5].set(20)
    apply, params = jax.jit(net.apply), net.init(jax.random.key(0))
    one, other = apply(params, a).vector, apply(params, b).vector
    assert float(jnp.std(one)) == pytest.approx(1.0, abs=0.3)
    assert float(jnp.linalg.norm(one - other) / jnp.linalg.norm(one)) > 0.25


def test_an_empty_caption_is_finite_with_finite_gradients():
    apply, params = network()
    empty = jnp.zeros((1, 6), jnp.int32)
    condition = apply(params, empty)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(condition))
    np.testing.assert_allclose(condition.vector[0], params["vector"]["bias"])
    gradient = jax.jit(
        jax.grad(lambda params: apply(params, empty).contexts[0].tokens.sum())
    )(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_bfloat16_is_near_float32():
    (single, params), (half, _) = network(), network(dtype="bfloat16")
    exact, near = single(params, TOKENS), half(params, TOKENS)
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(near), strict=True):
        scale = np.abs(a).max()
        np.testing.assert_allclose(np.asarray(b, np.float32), a, atol=0.05 * scale)
    assert near.vector.dtype == jnp.bfloat16


def test_depth_is_the_number_of_blocks():
    assert set(abstract_params(build_text(tiny(depth=3)))["blocks"]) == {"0", "1", "2"}


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="divisible by heads, got 8 and 3"):
        tiny(heads=3)
    with pytest.raises(UserError, match="no output"):
        tiny(contexts=[], vector_dim=None)
    with pytest.raises(UserError, match="unknown dtype"):
        tiny(dtype="int8")
    net = build_text(tiny())
    with pytest.raises(UserError, match="at most 6 tokens, got 7"):
        net.apply(random_params(net), jnp.ones((1, 7), jnp.int32))
