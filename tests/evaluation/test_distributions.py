import numpy as np
import pytest
from scipy.linalg import sqrtm

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.distributions import (
    frechet_distance,
    frechet_extrapolated,
    kernel_distance,
    median_bandwidth,
)


def whitened(rng, n, width):
    """Values [n, D] whose mean is exactly 0 and covariance exactly the identity."""
    x = rng.normal(size=(n, width))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_frechet_of_gaussians_is_the_closed_form():
    """Commuting covariances: |m1 - m2|^2 + sum (s1 - s2)^2."""
    rng = np.random.default_rng(0)
    s1, s2 = rng.uniform(0.2, 3.0, size=(2, 5))
    m1, m2 = rng.normal(size=(2, 5))
    a = whitened(rng, 400, 5) * s1 + m1
    b = whitened(rng, 300, 5) * s2 + m2
    expected = np.square(m1 - m2).sum() + np.square(s1 - s2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-10)


def test_frechet_equals_the_matrix_square_root():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + 1.0
    c1, c2 = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(
        c1 + c2 - 2 * sqrtm(c1 @ c2).real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_frechet_with_fewer_clips_than_dimensions():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(10, 40))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-10)
    shifted = frechet_distance(a, a + 2.0)
    assert shifted == pytest.approx(4.0 * 40, rel=1e-10)


def test_extrapolation_takes_the_bias_of_few_clips_away():
    """Equal distributions: the plain distance is all bias."""
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(4000, 8))
    plain, free = [], []
    for _ in range(20):
        made = rng.normal(size=(256, 8))
        plain.append(frechet_distance(reference, made))
        free.append(frechet_extrapolated(reference, made).value)
    assert np.mean(plain) > 0.08
    assert abs(np.mean(free)) < 0.2 * np.mean(plain)


def test_kernel_distance_is_unbiased():
    """Its mean over equal sets is 0, and may be below for one of them."""
    rng = np.random.default_rng(4)
    values = []
    for _ in range(300):
        a, b = rng.normal(size=(2, 12, 3))
        values.append(kernel_distance(a, b, 1.5))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_kernel_distance_of_two_points():
    """By hand: two clips a side, k = exp(-d^2 / 2 h^2)."""
    a, b = np.array([[0.0], [2.0]]), np.array([[1.0], [4.0]])
    k = lambda d: np.exp(-(d**2) / (2 * 1.5**2))  # noqa: E731
    cross = (k(1) + k(4) + k(1) + k(2)) / 4
    assert kernel_distance(a, b, 1.5) == pytest.approx(
        1000 * (k(2) + k(3) - 2 * cross), rel=1e-12
    )


def test_bandwidth_is_of_pairs_of_different_clips():
    assert median_bandwidth(np.array([[0.0], [1.0], [3.0]])) == 2.0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), "one width"),
        (np.zeros(4), np.zeros(4), "one width"),
        (np.zeros((1, 3)), np.zeros((4, 3)), "2 clips or more"),
        (np.zeros((4, 3)), np.full((4, 3), np.nan), "not all finite"),
    ],
)
def test_what_has_no_distance_is_refused(a, b, message):
    with pytest.raises(UserError, match=message):
        frechet_distance(a, b)


def test_extrapolation_needs_clips():
    with pytest.raises(UserError, match="16 clips"):
        frechet_extrapolated(np.zeros((20, 2)), np.zeros((15, 2)))


def test_extrapolation_draws_so_many_subsets_by_its_seed():
    rng = np.random.default_rng(5)
    reference, made = rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
    first = frechet_extrapolated(reference, made, points=4, seed=1)
    assert first == frechet_extrapolated(reference, made, points=4, seed=1)
    assert first != frechet_extrapolated(reference, made, points=4, seed=2)
    assert first != frechet_extrapolated(reference, made, points=5, seed=1)
