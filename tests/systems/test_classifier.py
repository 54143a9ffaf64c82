"""What a classifier is told of a clip, and what of its run does not fit."""

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.systems.classifier import encode_labels

LABELS = {"kind": ("even", "odd"), "third": ("yes", "no")}


def test_a_label_is_its_place_among_the_values_and_one_that_is_absent_is_none():
    clips = [{"kind": "odd"}, {"kind": "even", "third": "no", "more": "x"}, {}]
    encoded = encode_labels(clips, LABELS)
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(encoded, [[1, -1], [0, 1], [-1, -1]])
    assert encode_labels([], LABELS).shape == (0, 2)


def test_a_value_that_is_no_label_is_refused():
    with pytest.raises(UserError, match="kind 'odd', which is not among the labels"):
        encode_labels([{"kind": "odd"}], {"kind": ("even", "prime")})
