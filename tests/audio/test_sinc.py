import math

import numpy as np
import pytest
from scipy.special import i0

from diffusion_audio.audio.sinc import Sinc, resample

KAISER = Sinc(64, 0.9475937167399596, 14.769656459379492)


def at(m, x, rate, to, sinc):
    """One output sample by the definition: a sum over the samples that are near."""
    base = min(rate, to) * sinc.rolloff
    t = (np.arange(len(x)) / rate - m / to) * base
    near = np.abs(t) <= sinc.width
    t = t[near]
    window = (
        np.cos(np.pi * t / sinc.width / 2) ** 2
        if sinc.beta is None
        else i0(sinc.beta * np.sqrt(1 - (t / sinc.width) ** 2)) / i0(sinc.beta)
    )
    return (x[near] * np.sinc(t) * window).sum() * base / rate


@pytest.mark.parametrize("sinc", [Sinc(), KAISER])
@pytest.mark.parametrize(
    ("rate", "to"), [(44100, 16000), (16000, 48000), (48000, 32000), (22050, 16000)]
)
def test_each_sample_is_the_sum_of_the_definition(sinc, rate, to):
    x = np.random.default_rng(0).normal(size=700)
    made = resample(x, rate, to, sinc)
    assert len(made) == math.ceil(700 * to / rate)
    expected = [at(m, x, rate, to, sinc) for m in range(len(made))]
    np.testing.assert_allclose(made, expected, atol=2e-6)


@pytest.mark.parametrize("count", [1, 2, 37])
def test_few_samples_give_as_many_as_they_last(count):
    x = np.ones(count)
    made = resample(x, 44100, 16000)
    assert len(made) == math.ceil(count * 160 / 441)
    np.testing.assert_allclose(
        made, [at(m, x, 44100, 16000, Sinc()) for m in range(len(made))], atol=2e-6
    )


def test_the_same_rate_leaves_a_wave_alone():
    x = np.random.default_rng(1).normal(size=50).astype(np.float32)
    np.testing.assert_array_equal(resample(x, 16000, 16000), x)
