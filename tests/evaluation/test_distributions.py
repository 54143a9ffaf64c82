import numpy as np
import pytest
from scipy.linalg import sqrtm

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation import embeddings
from diffusion_audio.evaluation.distributions import (
    frechet_distance,
    frechet_extrapolated,
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


def test_blocks_change_nothing(monkeypatch):
    """A block is never more than the rows that are read at a time."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(70, 5)), rng.normal(size=(3, 5))
    whole = frechet_distance(a, b)
    monkeypatch.setattr(embeddings, "ROWS", 8)
    assert frechet_distance(a, b) == pytest.approx(whole, rel=1e-12)


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
