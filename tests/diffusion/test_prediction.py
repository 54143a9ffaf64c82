import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion import prediction
from diffusion_audio.diffusion.prediction import PREDICTIONS, convert, target, to_x0_eps
from diffusion_audio.errors import UserError

PAIRS = list(itertools.permutations(PREDICTIONS, 2))


def inputs(dtype=np.float32, log_snr=6.0, flow=False):
    rng = np.random.default_rng(0)
    x0, eps = rng.standard_normal((2, 64, 5)).astype(dtype)
    ratio = np.exp(np.linspace(-log_snr, log_snr, 64) / 2)[:, None]
    norm = 1 + ratio if flow else np.hypot(1, ratio)
    alpha, sigma = ratio / norm, 1 / norm
    return x0, eps, alpha.astype(dtype), sigma.astype(dtype)


@pytest.mark.parametrize("flow", [False, True], ids=["preserving", "flow"])
@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_round_trips(source, to, flow):
    x0, eps, alpha, sigma = (jnp.asarray(a) for a in inputs(flow=flow))
    x = alpha * x0 + sigma * eps
    output = target(source, x0, eps, alpha, sigma)
    other = convert(output, x, alpha, sigma, source=source, to=to)
    back = convert(other, x, alpha, sigma, source=to, to=source)
    np.testing.assert_allclose(other, target(to, x0, eps, alpha, sigma), atol=1e-4)
    np.testing.assert_allclose(back, output, atol=1e-5)


@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_exact_at_any_noise_in_float64(source, to):
    x0, eps, alpha, sigma = inputs(np.float64, log_snr=14.0)
    x = alpha * x0 + sigma * eps
    output = target(source, x0, eps, alpha, sigma)
    other = convert(output, x, alpha, sigma, source=source, to=to)
    np.testing.assert_allclose(other, target(to, x0, eps, alpha, sigma), atol=1e-11)


def test_definitions():
    x0, eps, alpha, sigma = inputs()
    np.testing.assert_array_equal(target("epsilon", x0, eps, alpha, sigma), eps)
    np.testing.assert_array_equal(target("x0", x0, eps, alpha, sigma), x0)
    # v is the rotation of (x0, eps) by 90 degrees further; Salimans & Ho, app. D.
    v = target("v", x0, eps, alpha, sigma)
    x = alpha * x0 + sigma * eps
    np.testing.assert_allclose(x**2 + v**2, x0**2 + eps**2, rtol=2e-5)
    # velocity is the slope of the straight line from data to noise.
    step = 2.0**-10
    line = [(1 - t) * x0 + t * eps for t in (0.5, 0.5 + step)]
    slope = (line[1] - line[0]) / step
    np.testing.assert_allclose(target("velocity", x0, eps, 0.5, 0.5), slope, atol=1e-3)


@pytest.mark.parametrize(("kind", "place"), [("x0", 0), ("epsilon", 1)])
def test_what_was_predicted_comes_back_bit_for_bit(kind, place):
    x0, eps, alpha, sigma = inputs()
    found = to_x0_eps(kind, eps, x0, alpha, sigma)
    np.testing.assert_array_equal(found[place], eps)


@pytest.mark.parametrize("kind", ["v", "velocity", "x0"])
def test_pure_noise(kind):
    # After zero-terminal-SNR rescaling alpha is 0, and these still know x_0.
    _, eps, _, _ = inputs()
    zero, one = np.float32(0), np.float32(1)
    said = target(kind, 2 * eps, eps, zero, one)
    x0, found = to_x0_eps(kind, said, eps, zero, one)
    np.testing.assert_allclose(x0, 2 * eps, atol=1e-6)
    np.testing.assert_allclose(found, eps, atol=1e-6)


def test_unknown_kind():
    x0, eps, alpha, sigma = inputs()
    for call in (target, to_x0_eps):
        with pytest.raises(UserError, match="did you mean 'epsilon'"):
            call("epsilom", x0, eps, alpha, sigma)
    assert set(PREDICTIONS) == {"epsilon", "x0", "v", "velocity"}
    assert prediction.combination("epsilon", alpha, sigma) == (0.0, 1.0)
