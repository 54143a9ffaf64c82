import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.adherence import adherence, proportion

VALUES = {"pitch": ("low", "mid", "high"), "loudness": ("soft", "loud")}


def scores(heard, classes):
    return np.eye(classes)[heard] + 0.1


def test_counts_by_hand():
    asked = np.array([[0, 0], [1, 1], [2, 1], [2, 0]])
    result = adherence(
        [scores([0, 1, 1, 2], 3), scores([0, 1, 1, 1], 2)], asked, VALUES
    )
    assert (result.accuracy["pitch"].right, result.accuracy["pitch"].n) == (3, 4)
    assert result.accuracy["loudness"].value == 0.75
    assert result.all_right.value == 0.5
    assert result.confusion["pitch"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert result.confusion["loudness"].tolist() == [[1, 1], [0, 2]]
    assert result.heard.tolist() == [[0, 0], [1, 1], [1, 1], [2, 1]]
    assert result.chance == {"pitch": 1 / 3, "loudness": 0.5}


def test_confusion_is_scikit_learns():
    rng = np.random.default_rng(0)
    asked = np.stack([rng.integers(0, k, 500) for k in (3, 2)], axis=1)
    logits = [rng.normal(size=(500, k)) for k in (3, 2)]
    result = adherence(logits, asked, VALUES)
    for i, (name, values) in enumerate(VALUES.items()):
        expected = confusion_matrix(
            asked[:, i], logits[i].argmax(1), labels=range(len(values))
        )
        np.testing.assert_array_equal(result.confusion[name], expected)
        share = np.trace(result.confusion[name]) / 500
        assert result.accuracy[name].value == share


def test_logits_and_posteriors_give_the_same():
    rng = np.random.default_rng(1)
    logits = [rng.normal(size=(50, k)) for k in (3, 2)]
    posteriors = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in logits]
    asked = np.zeros((50, 2), np.int32)
    one, other = (adherence(x, asked, VALUES) for x in (logits, posteriors))
    assert one.accuracy == other.accuracy


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (81, 100), (1, 3)])
def test_the_interval_solves_wilsons_equation(k, n):
    """Its ends are the p with |k/n - p| = z sqrt(p (1 - p) / n) (Wilson 1927)."""
    z = 1.959963984540054
    share = proportion(np.arange(n) < k)
    assert (share.right, share.n, share.value) == (k, n, k / n)
    for end in (share.low, share.high):
        assert abs(k / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))
    assert share.low <= share.value <= share.high


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    shares = [proportion(rng.random(100) < 0.8) for _ in range(1000)]
    covered = np.mean([share.low <= 0.8 <= share.high for share in shares])
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(
    ("logits", "asked", "message"),
    [
        ([np.zeros((2, 3))], np.zeros((2, 2), int), "expected scores of shapes"),
        (
            [np.zeros((2, 3)), np.zeros((2, 4))],
            np.zeros((2, 2), int),
            r"\[\(2, 3\), \(2, 2\)\].*got \[\(2, 3\), \(2, 4\)\]",
        ),
        ([np.zeros((2, 3)), np.zeros((2, 2))], np.zeros(2, int), "expected scores"),
        (
            [np.zeros((0, 3)), np.zeros((0, 2))],
            np.zeros((0, 2), int),
            "one clip or more",
        ),
        (
            [np.zeros((2, 3)), np.zeros((2, 2))],
            np.array([[0, 0], [3, 0]]),
            "pitch run from 0 to 2, got 0 to 3",
        ),
        (
            [np.full((2, 3), np.nan), np.zeros((2, 2))],
            np.zeros((2, 2), int),
            "pitch are not all finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(logits, asked, message):
    with pytest.raises(UserError, match=message):
        adherence(logits, asked, VALUES)
