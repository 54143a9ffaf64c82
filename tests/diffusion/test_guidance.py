import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.guidance import classifier_free
from diffusion_audio.errors import UserError

X = jax.random.normal(jax.random.key(0), (3, 4, 2))
TIME = jnp.array([5, 50, 500])
COND, UNCOND = jax.random.normal(jax.random.key(1), (2, 3, 4, 2))


def denoise2(x, t):
    """Predictions that depend on all of x, t and the condition."""
    both = jnp.concatenate([COND, UNCOND])
    return both * x + t.astype(jnp.float32)[:, None, None]


def alone(cond):
    return cond * X + TIME.astype(jnp.float32)[:, None, None]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(1.0, alone(COND)), (0.0, alone(UNCOND)), (1, alone(COND))],
)
def test_ends(scale, expected):
    guided = classifier_free(denoise2, scale)(X, TIME)
    np.testing.assert_allclose(guided, expected, rtol=1e-6, atol=1e-6)


def test_scale_per_example():
    scale = jnp.array([0.0, 1.0, 3.0])
    guided = classifier_free(denoise2, scale)(X, TIME)
    w = (scale - 1)[:, None, None]  # as in the paper: (1 + w) cond - w uncond
    expected = (1 + w) * alone(COND) - w * alone(UNCOND)
    np.testing.assert_allclose(guided, expected, rtol=1e-5, atol=1e-4)


def test_one_call_and_a_traced_scale():
    calls = []

    @jax.jit
    def guided(scale):
        def counted(x, t):
            calls.append(x.shape)
            return denoise2(x, t)

        return classifier_free(counted, scale)(X, TIME)

    first, second = guided(1.0), guided(4.0)
    assert calls == [(6, 4, 2)]
    assert not np.allclose(first, second)


def test_low_precision_prediction():
    guided = classifier_free(lambda x, t: x.astype(jnp.bfloat16), 2.0)(X, TIME)
    assert guided.dtype == jnp.float32


def test_scale_of_another_batch():
    with pytest.raises(UserError, match=r"one per example, \(3,\), got shape \(2,\)"):
        classifier_free(denoise2, jnp.ones(2))(X, TIME)
