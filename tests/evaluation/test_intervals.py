import numpy as np
import pytest

from diffusion_audio.evaluation.distributions import frechet, gaussian
from diffusion_audio.evaluation.intervals import of_halves, of_mean


def test_of_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    found, reach = of_mean(values), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - reach, abs=0.02)
    assert found.high == pytest.approx(values.mean() + reach, abs=0.02)
    assert of_mean(np.full(5, 2.0)) == (2.0, 2.0)


def test_halves_know_the_error_of_a_mean():
    values = np.random.default_rng(1).normal(size=401)
    halves = of_halves(lambda i: values[i].mean(), [401], splits=400)
    assert halves.error == pytest.approx(values.std(ddof=1) / np.sqrt(401), rel=0.1)
    assert halves.mean == pytest.approx(values.mean(), abs=0.01)


def test_halves_take_away_what_falls_with_one_over_n():
    halves = of_halves(lambda i, j: 3.0 + 10 / len(i), [20, 40])
    assert halves.extrapolated(3.0 + 10 / 20) == pytest.approx(3.0)
    assert halves.error == 0.0


def covered(width, sizes, shift, scale, draws):
    """How many intervals hold the known distance of two Gaussians."""
    truth = width * (shift**2 + (scale - 1) ** 2)
    count = 0
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        a = rng.normal(size=(sizes[0], width))
        b = rng.normal(size=(sizes[1], width)) * scale + shift

        def distance(i, j, a=a, b=b):
            return frechet(gaussian(a[i]), gaussian(b[j]))

        value = frechet(gaussian(a), gaussian(b))
        halves = of_halves(distance, sizes, seed=draw)
        low, high = halves.interval(halves.extrapolated(value))
        count += low <= truth <= high
    return count


def test_the_interval_of_a_distance_covers_the_truth_mostly():
    assert covered(4, (100, 120), 0.5, 0.7, draws=20) >= 17


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "sizes", "shift", "scale"),
    [(6, (200, 300), 0.3, 1.3), (6, (200, 300), 0.0, 1.3), (4, (60, 60), 0.5, 0.7)],
)
def test_the_interval_of_a_distance_covers_the_truth(width, sizes, shift, scale):
    """190 of 200 are meant to; 184 or fewer would be for one in 13 by chance."""
    assert 184 <= covered(width, sizes, shift, scale, draws=200) <= 199
