import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn import attention as module
from diffusion_audio.nn.attention import Attention, attention, blockwise_attention
from diffusion_audio.nn.functional import functional
from tests.networks import normal, random_params


def reference(query, key, value, mask=None):
    """The definition, in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("blhd,bkhd->bhlk", query, key) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(np.asarray(mask)[:, None, None, :], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhlk,bkhd->blhd", weights, value)


@pytest.fixture
def qkv():
    return tuple(
        jnp.asarray(normal(2, length, 3, 8, seed=i))
        for i, length in enumerate((37, 21, 21))
    )


MASK = jnp.asarray(np.random.default_rng(5).random((2, 21)) > 0.4)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "some"])
@pytest.mark.parametrize("block", [None, 5, 16, 64])
def test_equals_the_definition_dense_and_in_blocks(qkv, mask, block):
    if block is None:
        out = attention(*qkv, mask)
    else:
        out = blockwise_attention(*qkv, mask, block=block)
    np.testing.assert_allclose(out, reference(*qkv, mask), atol=1e-5)


def test_gradient_of_blocks_is_the_dense_one(qkv):
    def total(function):
        return lambda inputs: jnp.sum(jnp.sin(function(*inputs, MASK)))

    dense = jax.grad(total(attention))(qkv)
    blocks = jax.grad(total(lambda *a: blockwise_attention(*a, block=8)))(qkv)
    for a, b in zip(dense, blocks, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_large_problems_on_the_cpu_go_in_blocks(qkv, monkeypatch):
    plain = attention(*qkv)
    assert "scan" not in str(jax.make_jaxpr(lambda *a: attention(*a))(*qkv))
    monkeypatch.setattr(module, "_DENSE_SCORES", 100)
    assert "scan" in str(jax.make_jaxpr(lambda *a: attention(*a))(*qkv))
    np.testing.assert_allclose(attention(*qkv), plain, atol=1e-5)


@pytest.mark.parametrize("block", [None, 8])
def test_masked_keys_have_no_influence_and_an_empty_mask_gives_zeros(qkv, block):
    query, key, value = qkv
    mask = MASK.at[1].set(False)

    def call(key, value):
        if block is None:
            return attention(query, key, value, mask)
        return blockwise_attention(query, key, value, mask, block=block)

    out = call(key, value)
    spoilt = jnp.where(mask[:, :, None, None], value, 1e4)
    np.testing.assert_array_equal(call(key, spoilt), out)
    np.testing.assert_array_equal(out[1], 0)
    gradient = jax.grad(lambda k, v: jnp.sum(call(k, v) ** 2), (0, 1))(key, value)
    assert all(np.isfinite(g).all() for g in gradient)
    assert all((np.asarray(g)[~np.asarray(mask)] == 0).all() for g in gradient)


@pytest.mark.parametrize("block", [None, 16])
def test_scores_and_softmax_are_float32_under_bfloat16(qkv, block):
    """Scores of some 20, which bfloat16 would round by a tenth."""
    query, key, value = (x.astype(jnp.bfloat16) for x in qkv)
    query = query * jnp.asarray(8, jnp.bfloat16)
    if block is None:
        out = attention(query, key, value)
    else:
        out = blockwise_attention(query, key, value, block=block)
    assert out.dtype == jnp.bfloat16
    exact = reference(*(x.astype(jnp.float32) for x in (query, key, value)))
    np.testing.assert_allclose(np.asarray(out, np.float32), exact, atol=0.015)


def test_module_attends_to_itself_or_to_a_context():
    own = functional(lambda rngs: Attention(12, 3, dtype=jnp.float32, rngs=rngs))
    other = functional(
        lambda rngs: Attention(12, 3, 5, bias=True, dtype=jnp.float32, rngs=rngs)
    )
    x, context = normal(2, 7, 12), normal(2, 4, 5)
    params = random_params(own)
    np.testing.assert_allclose(own.apply(params, x), own.apply(params, x, x), atol=1e-6)
    assert set(params["to_q"]) == {"kernel"}
    params = random_params(other)
    assert set(params["to_q"]) == {"kernel", "bias"}
    out = other.apply(params, x, context)
    heads = [
        (y @ params[name]["kernel"] + params[name]["bias"]).reshape(2, -1, 3, 4)
        for name, y in (("to_q", x), ("to_k", context), ("to_v", context))
    ]
    expected = reference(*heads).reshape(2, 7, 12)
    expected = expected @ params["to_out"]["kernel"] + params["to_out"]["bias"]
    np.testing.assert_allclose(out, expected, atol=1e-5)
