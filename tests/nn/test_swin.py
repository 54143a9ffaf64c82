import numpy as np

from diffusion_audio.nn.swin import (
    relative_places,
    shift_bias,
    window_partition,
    window_reverse,
)
from tests.networks import normal


def test_windows_are_squares_and_come_back():
    x = normal(2, 4, 6, 3)
    parts = window_partition(x, 2)
    assert parts.shape == (2, 6, 4, 3)
    np.testing.assert_array_equal(parts[1, 4], x[1, 2:4, 2:4].reshape(4, 3))
    np.testing.assert_array_equal(window_reverse(parts, 4, 6, 2), x)


def test_relative_places_tell_each_offset_by_one_number():
    places = relative_places(3).reshape(3, 3, 3, 3)
    rows = {}
    for index, row in np.ndenumerate(places):
        offset = (index[0] - index[2], index[1] - index[3])
        assert rows.setdefault(offset, row) == row
    assert sorted(rows.values()) == list(range(25))
    assert rows[(-2, -2)] == 0
    assert rows[(-2, -1)] == 1


def test_places_that_only_the_shift_brought_together_are_strangers():
    bias = shift_bias(4, 4, 2, 1)
    assert bias.shape == (4, 4, 4)
    np.testing.assert_array_equal(bias[0], 0)
    split = np.kron(np.ones((2, 2)), 1 - np.eye(2))  # left from right
    np.testing.assert_array_equal(bias[1], -100 * split)
    np.testing.assert_array_equal(bias[3], -100 * (1 - np.eye(4)))
