import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation import embeddings, kernel
from diffusion_audio.evaluation.kernel import discrepancy, median_distance


def test_it_is_unbiased():
    """Its mean over equal sets is 0, and may be below for one of them."""
    rng = np.random.default_rng(4)
    values = []
    for _ in range(300):
        a, b = rng.normal(size=(2, 12, 3))
        values.append(discrepancy(a, b, 1.5).value)
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_it_is_that_of_two_points():
    """By hand: two clips a side, k = exp(-d^2 / 2 h^2)."""
    a, b = np.array([[0.0], [2.0]]), np.array([[1.0], [4.0]])
    k = lambda d: np.exp(-(d**2) / (2 * 1.5**2))  # noqa: E731
    cross = (k(1) + k(4) + k(1) + k(2)) / 4
    found = discrepancy(a, b, 1.5).value
    assert found == pytest.approx(k(2) + k(3) - 2 * cross, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_its_error_is_how_much_it_varies(shift):
    """Of different sets it is right, of equal ones it is rather too large."""
    rng = np.random.default_rng(7)
    found = [
        discrepancy(rng.normal(size=(60, 3)), rng.normal(size=(40, 3)) + shift, 2.0)
        for _ in range(200)
    ]
    spread = np.std([each.value for each in found])
    error = np.mean([each.error for each in found])
    assert 0.9 < error / spread < (1.1 if shift else 1.8)


def test_windows_of_a_clip_vary_together():
    """Each clip twice: no more is known than of it once."""
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 1.0
    once = discrepancy(a, b, 2.0).error
    clips = np.repeat(np.arange(40), 2)
    twice = discrepancy(
        np.repeat(a, 2, 0), np.repeat(b, 2, 0), 2.0, clips=(clips, clips)
    )
    assert twice.error == pytest.approx(once, rel=0.05)


def test_blocks_change_nothing(monkeypatch):
    a, b = np.random.default_rng(9).normal(size=(2, 30, 3))
    whole, median = discrepancy(a, b, 1.0), median_distance(a)
    monkeypatch.setattr(embeddings, "ENTRIES", 64)
    np.testing.assert_allclose(discrepancy(a, b, 1.0), whole, rtol=1e-12)
    assert median_distance(a) == pytest.approx(median, rel=1e-12)


@pytest.mark.parametrize("reach", [0.3, 0.001])  # the latter is too narrow at first
@pytest.mark.parametrize("lower", [True, False])
def test_the_median_is_exact_however_it_is_found(monkeypatch, reach, lower):
    x = np.random.default_rng(3).normal(size=(80, 4))
    whole = median_distance(x, lower=lower)
    monkeypatch.setattr(kernel, "EXACT", 10)
    monkeypatch.setattr(kernel, "SAMPLE", 50)
    monkeypatch.setattr(kernel, "REACH", reach)
    assert median_distance(x, lower=lower) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_median_is_of_pairs_of_different_clips(count):
    x = np.random.default_rng(count).normal(size=(count, 2))
    distances = np.sort(pdist(x))
    assert median_distance(x) == pytest.approx(np.median(distances))
    lower = distances[(len(distances) - 1) // 2]
    assert median_distance(x, lower=True) == pytest.approx(lower)


def test_the_median_of_equal_distances_is_found(monkeypatch):
    monkeypatch.setattr(kernel, "EXACT", 2)
    assert median_distance(np.eye(5)) == pytest.approx(np.sqrt(2))


def test_a_bandwidth_of_nothing_is_refused():
    with pytest.raises(UserError, match="bandwidth must be above 0"):
        discrepancy(np.eye(3), np.eye(3), 0.0)
