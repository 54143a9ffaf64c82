import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.guidance import classifier_free, interval_of
from diffusion_audio.diffusion.schedule import make_schedule
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


def test_rescale():
    """Lin et al. 2023, eq. 14-16, example by example in NumPy."""
    guided = np.asarray(classifier_free(denoise2, 4.0)(X, TIME))
    rescaled = classifier_free(denoise2, 4.0, rescale=0.7)(X, TIME)
    for x, plain, cond in zip(rescaled, guided, alone(COND), strict=True):
        expected = 0.7 * plain * np.std(cond) / np.std(plain) + 0.3 * plain
        np.testing.assert_allclose(x, expected, rtol=1e-4)
    whole = classifier_free(denoise2, 4.0, rescale=jnp.float32(1))(X, TIME)
    spread = np.std(alone(COND), axis=(1, 2))
    np.testing.assert_allclose(np.std(whole, axis=(1, 2)), spread, rtol=1e-4)


@pytest.mark.parametrize("time", [TIME, TIME.astype(jnp.float32)])
def test_interval(time):
    guided = classifier_free(denoise2, 4.0, interval=(50, 400))(X, time)
    always, never = (classifier_free(denoise2, w)(X, time) for w in (4.0, 1.0))
    np.testing.assert_allclose(guided[1], always[1], rtol=1e-6)  # t = 50
    np.testing.assert_allclose(guided[::2], never[::2], rtol=1e-6)  # 5 and 500


def test_interval_of_noise_levels():
    schedule = make_schedule("linear")
    low, high = interval_of(schedule, 0.2, 1.5)
    ratio = np.sqrt(1 / schedule.alpha_bars - 1)
    assert np.searchsorted(ratio, 0.2) == np.ceil(low)
    assert np.searchsorted(ratio, 1.5) == np.ceil(high)
    assert interval_of(schedule, 0.0, np.inf) == (0, 999)
    low, high = interval_of(RectifiedFlow(), 1 / 3, 1.0)  # sigma / alpha of 1/4, 1/2
    np.testing.assert_allclose((low, high), (250, 500))
    with pytest.raises(UserError, match="0 <= low < high, got 2 and 1"):
        interval_of(schedule, 2, 1)


def test_learned_variance_is_not_guided():
    def wide(x, t):
        raw = jnp.concatenate([jnp.ones_like(X), -jnp.ones_like(X)])
        return jnp.concatenate([denoise2(x, t), raw], axis=-1)

    got = classifier_free(wide, 3.0, learned_variance=True)(X, TIME)
    expected = classifier_free(denoise2, 3.0)(X, TIME)
    np.testing.assert_allclose(got[..., :2], expected, rtol=1e-6)
    assert np.all(got[..., 2:] == 1)  # that of the conditions
