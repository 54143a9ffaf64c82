import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import entropy

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.posteriors import (
    bernoulli_kl,
    half_bernoulli_kl,
    inception_score,
    kl_divergence,
    softmax_kl,
)


def test_kl_equals_scipy_and_has_a_direction():
    rng = np.random.default_rng(0)
    p, q = softmax(rng.normal(size=(2, 5, 7)), axis=-1)
    np.testing.assert_allclose(kl_divergence(p, q), entropy(p, q, axis=1), atol=1e-4)
    np.testing.assert_allclose(kl_divergence(q, p), entropy(q, p, axis=1), atol=1e-4)
    assert abs(kl_divergence(p, q) - kl_divergence(q, p)).max() > 1e-2


def test_kl_of_certain_answers_is_finite():
    sure = np.eye(3)
    np.testing.assert_allclose(kl_divergence(sure, sure), 0.0, atol=1e-5)
    np.testing.assert_allclose(kl_divergence(sure[:1], sure[1:2]), np.log(1e6))
    even = np.full((1, 2), 0.5)  # eps is added to what is divided by, and nowhere else
    np.testing.assert_allclose(kl_divergence(even, even), -np.log1p(2e-6), rtol=1e-6)


def test_inception_score_reaches_its_bounds():
    assert inception_score(np.eye(6)).value == pytest.approx(6.0)
    assert inception_score(np.full((10, 4), 0.25)).value == pytest.approx(1.0)
    same = np.tile(np.eye(4)[0], (10, 1))
    assert inception_score(same).value == pytest.approx(1.0)


def test_inception_score_of_splits():
    score = inception_score(np.tile(np.eye(2), (8, 1)), splits=3)
    assert score.clips_per_split == 5
    assert 1 <= score.value <= 2
    assert score.std > 0


@pytest.mark.parametrize(
    "bad",
    [np.zeros((2, 3)), np.array([[1.5, -0.5]]), np.zeros(3), np.array([[np.nan, 1]])],
)
def test_what_is_no_posterior_is_refused(bad):
    with pytest.raises(UserError, match="posteriors"):
        inception_score(bad)


def test_pairs_and_splits_must_fit():
    with pytest.raises(UserError, match="one shape"):
        kl_divergence(np.eye(3), np.eye(3)[:2])
    with pytest.raises(UserError, match="empty"):
        inception_score(np.eye(3), splits=4)


def test_splits_are_shuffled_by_the_seed_and_each_has_its_own_marginal():
    p = softmax(2 * np.random.default_rng(1).normal(size=(13, 4)), axis=-1)
    order = np.random.RandomState(7).permutation(13)
    parts = p[order[:4]], p[order[4:8]], p[order[8:]]  # every clip is in one
    scores = [
        np.exp(entropy(part, part.mean(0)[None], axis=1).mean()) for part in parts
    ]
    got = inception_score(p, splits=3, seed=7)
    assert got.value == pytest.approx(np.mean(scores))
    assert got.std == pytest.approx(np.std(scores))
    assert got.value != inception_score(p, splits=3, seed=8).value


@pytest.fixture
def logits():
    return 3 * np.random.default_rng(2).normal(size=(2, 6, 5))


def test_softmax_kl_of_logits_is_that_of_their_posteriors(logits):
    p, q = softmax(logits, axis=-1)
    np.testing.assert_allclose(softmax_kl(*logits), entropy(p, q, axis=1))
    with_eps = (p * np.log(p / (q + 1e-2))).sum(1)
    np.testing.assert_allclose(softmax_kl(*logits, eps=1e-2), with_eps)


def test_softmax_kl_of_certain_logits_has_no_floor():
    sure = np.array([[0.0, 2000.0]])
    np.testing.assert_allclose(softmax_kl(sure, sure[:, ::-1]), 2000.0)


def test_bernoulli_kl_counts_both_answers_of_each_class(logits):
    p, q = expit(logits)
    both = entropy(np.stack([p, 1 - p]), np.stack([q, 1 - q]))
    np.testing.assert_allclose(bernoulli_kl(*logits), both.sum(1))
    one = (p * np.log(p / (q + 1e-6))).sum(1)
    np.testing.assert_allclose(half_bernoulli_kl(*logits, eps=1e-6), one, rtol=1e-9)
    assert half_bernoulli_kl(np.zeros((1, 3)), np.ones((1, 3)), eps=1e-6) < 0
