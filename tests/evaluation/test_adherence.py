import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.adherence import predicted_classes

VALUES = {"pitch": ("low", "mid", "high"), "loudness": ("soft", "loud")}


def test_the_most_probable_class_is_heard():
    predicted = np.array([[0, 0], [1, 1], [1, 1], [2, 1]])
    scores = [np.eye(k)[predicted[:, i]] + 0.1 for i, k in enumerate((3, 2))]
    requested = np.array([[0, 0], [1, 1], [2, 1], [2, 0]])
    found = predicted_classes(scores, requested, VALUES)
    np.testing.assert_array_equal(found, predicted)


@pytest.mark.parametrize(
    ("logits", "requested", "message"),
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
def test_what_does_not_fit_is_refused(logits, requested, message):
    with pytest.raises(UserError, match=message):
        predicted_classes(logits, requested, VALUES)
