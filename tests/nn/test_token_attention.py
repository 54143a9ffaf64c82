import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.nn.token_attention import causal, token_attention
from tests.networks import normal

QUERY, KEY, VALUE = (
    jnp.asarray(normal(2, length, 3, 8, seed=i)) for i, length in enumerate((5, 7, 7))
)
BIAS = jnp.asarray(normal(3, 5, 7, seed=3))
ALLOWED = jnp.asarray(np.random.default_rng(4).random((2, 5, 7)) > 0.4)


def reference(query, key, value, allowed, bias, scale):
    """The definition, in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("blhd,bkhd->bhlk", query, key) * scale + np.asarray(bias)
    scores = np.where(np.asarray(allowed)[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhlk,bkhd->blhd", weights, value)


@pytest.mark.parametrize(
    ("options", "bias", "scale"),
    [({}, np.zeros((1, 1, 1)), 8**-0.5), ({"bias": BIAS, "scale": 0.7}, BIAS, 0.7)],
)
@pytest.mark.parametrize("allowed", [ALLOWED, jnp.ones((1, 5, 7), bool)])
def test_equals_the_definition(options, bias, scale, allowed):
    out = token_attention(QUERY, KEY, VALUE, allowed, **options)
    expected = reference(QUERY, KEY, VALUE, allowed, bias, scale)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_what_is_not_allowed_has_no_influence_and_nothing_allowed_gives_zeros():
    allowed = ALLOWED.at[:, :, 2].set(False).at[1, 3].set(False)

    def call(value):
        return token_attention(QUERY, KEY, value, allowed, bias=BIAS)

    out = call(VALUE)
    np.testing.assert_array_equal(call(VALUE.at[:, 2].set(1e4)), out)
    np.testing.assert_array_equal(out[1, 3], 0)
    assert (np.asarray(out[1, 2]) != 0).all()
    gradient = jax.grad(lambda v: jnp.sum(call(v) ** 2))(VALUE)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:, 2], 0)


def test_scores_and_softmax_are_float32_under_bfloat16():
    """Scores of some 20, which bfloat16 would round by a tenth."""
    query, key, value = (x.astype(jnp.bfloat16) for x in (QUERY, KEY, VALUE))
    out = token_attention(query, key, value, ALLOWED, scale=3.0)
    assert out.dtype == jnp.bfloat16
    exact = reference(
        *(x.astype(jnp.float32) for x in (query, key, value)),
        ALLOWED,
        np.zeros((1, 1, 1)),
        3.0,
    )
    np.testing.assert_allclose(np.asarray(out, np.float32), exact, atol=0.015)


def test_causal_looks_at_real_tokens_up_to_itself():
    mask = jnp.asarray([[True, False, True]])
    assert causal(mask)[0].tolist() == [
        [True, False, False],
        [True, False, False],
        [True, False, True],
    ]
