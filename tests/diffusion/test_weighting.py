import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.prediction import PREDICTIONS, target, to_x0_eps
from diffusion_audio.diffusion.weighting import (
    WEIGHTINGS,
    loss_weight,
    make_weighting,
)
from diffusion_audio.errors import UserError

SNR = jnp.exp(jnp.linspace(-8.0, 8.0, 33))
FLOW = 1 / (1 + SNR**-0.5), 1 / (1 + SNR**0.5)
PRESERVING = (SNR / (1 + SNR)) ** 0.5, (1 / (1 + SNR)) ** 0.5


def errors(prediction, alpha, sigma):
    """Errors of x_0 and eps that one wrong prediction makes at one x_t."""
    x0, eps, wrong = 0.3, -1.1, 0.25
    x = alpha * x0 + sigma * eps
    said = target(prediction, x0, eps, alpha, sigma) + wrong
    x0_hat, eps_hat = to_x0_eps(prediction, said, x, alpha, sigma)
    return wrong, np.asarray(x0_hat - x0), np.asarray(eps_hat - eps)


@pytest.mark.parametrize("process", [FLOW, PRESERVING], ids=["flow", "preserving"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", [name for name in WEIGHTINGS if name != "simple"])
def test_the_weighted_error_is_that_of_the_paper(name, prediction, process):
    """Formulas of the papers, on the error of x_0 or of eps, in float64."""
    snr = np.asarray(SNR, np.float64)
    on_x0 = {
        "min_snr": np.minimum(snr, 5),
        "truncated_snr": np.maximum(snr, 1),
        "edm": (1 / snr + 1) / (1 / snr * 1),
        "p2": snr / (1 + snr),
        "sigmoid": snr / (1 + np.exp(np.log(snr) + 3)),
    }[name]
    weight = loss_weight(make_weighting(name), prediction, *process)
    wrong, x0_error, eps_error = errors(prediction, *process)
    ours = np.asarray(weight, np.float64) * wrong**2
    # Both are measured: rounding of x_0 is large where there is much noise.
    theirs = np.where(snr > 1, on_x0 * x0_error**2, on_x0 / snr * eps_error**2)
    np.testing.assert_allclose(ours, theirs, rtol=2e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_simple_is_one_on_what_is_predicted(prediction):
    weight = loss_weight(make_weighting(), prediction, *FLOW)
    np.testing.assert_array_equal(weight, np.ones(33))


def test_known_equalities():
    def weight(name, prediction="epsilon", **options):
        weighting = make_weighting(name, **options)
        return loss_weight(weighting, prediction, *PRESERVING)

    # Hang et al. 2023, section 3.4, for each kind of prediction.
    eps, v = weight("min_snr", gamma=3.0), weight("min_snr", "v", gamma=3.0)
    np.testing.assert_allclose(eps, jnp.minimum(SNR, 3) / SNR, rtol=1e-5)
    np.testing.assert_allclose(v, jnp.minimum(SNR, 3) / (SNR + 1), rtol=1e-5)
    # v is EDM's own target for data of unit scale.
    np.testing.assert_allclose(weight("edm", "v"), np.ones(33), rtol=1e-5)
    np.testing.assert_allclose(
        weight("edm", "x0", sigma_data=0.5), (1 / SNR + 0.25) * SNR / 0.25, rtol=1e-5
    )


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_finite_at_pure_noise(name):
    zero, one = jnp.zeros(1), jnp.ones(1)
    for prediction in ("v", "x0", "velocity"):
        weight = loss_weight(make_weighting(name), prediction, zero, one)
        assert np.isfinite(weight).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "min_srn"}, "did you mean 'min_snr'"),
        ({"name": "min_snr", "gama": 5.0}, "did you mean 'gamma'"),
        ({"name": "min_snr", "gamma": 0.0}, "gamma must be above 0"),
        ({"name": "p2", "k": -1.0}, "k must be above 0"),
        ({"name": "edm", "sigma_data": 0.0}, "sigma_data must be above 0"),
        ({"name": "simple", "gamma": 5.0}, "option of the simple weighting"),
    ],
)
def test_impossible_weightings(options, message):
    with pytest.raises(UserError, match=message):
        make_weighting(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "p2", "k": 2.0, "gamma": 0.5}, (2 + SNR) ** -0.5),
        ({"name": "p2", "k": 2.0}, 1 / (2 + SNR)),
        ({"name": "sigmoid", "bias": 1.5}, 1 / (1 + SNR * np.exp(-1.5))),
    ],
)
def test_options_are_taken(options, expected):
    weight = loss_weight(make_weighting(**options), "epsilon", *PRESERVING)
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
