import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation import embeddings
from diffusion_audio.evaluation.neighbours import neighbours


def test_of_points_on_a_line():
    """Balls of radius 1 about 0, 1, 2 and of radius 8 about 10; made ones of 0.5."""
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    made = np.array([[0.5], [1.0], [-3.0]])
    found = neighbours(real, made, k=1)
    assert found.precision.tolist() == [1, 1, 0]
    assert found.density.tolist() == [2, 3, 0]  # 1.0 lies on two of its balls' edges
    assert found.recall.tolist() == [1, 1, 0, 0]
    assert found.coverage.tolist() == [1, 1, 1, 0]


def test_a_set_covers_itself_and_not_one_far_away():
    x = np.random.default_rng(0).normal(size=(30, 4))
    for values in neighbours(x, x):
        assert values.mean() >= 1.0
    for values in neighbours(x, x + 100.0):
        assert values.mean() == 0.0


def test_density_of_equal_distributions_is_one():
    rng = np.random.default_rng(1)
    found = neighbours(rng.normal(size=(400, 3)), rng.normal(size=(500, 3)))
    assert found.density.mean() == pytest.approx(1.0, abs=0.1)
    assert found.coverage.mean() > 0.9


def test_blocks_change_nothing(monkeypatch):
    a, b = np.random.default_rng(2).normal(size=(2, 20, 3))
    whole = neighbours(a, b, k=2)
    monkeypatch.setattr(embeddings, "ENTRIES", 30)
    for left, right in zip(neighbours(a, b, k=2), whole, strict=True):
        np.testing.assert_array_equal(left, right)


def test_too_few_clips_are_refused():
    with pytest.raises(UserError, match="6 clips or more"):
        neighbours(np.eye(5), np.eye(5))
    with pytest.raises(UserError, match="k must be 1"):
        neighbours(np.eye(5), np.eye(5), k=0)
