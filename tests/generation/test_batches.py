"""Batches: the whole from parts, one shape, whatever the size."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation.batches import in_batches, joined

ROWS = np.arange(14.0, dtype=np.float32).reshape(7, 2)


@pytest.mark.parametrize(
    ("size", "shapes", "steps"),
    [(3, [3, 3, 3], [3, 3, 1]), (7, [7], [7]), (100, [7], [7]), (1, [1] * 7, [1] * 7)],
)
def test_the_whole_does_not_depend_on_the_size(size, shapes, steps):
    seen, done = [], []

    def function(a, b):
        seen.append(len(a))
        return {"sum": jnp.asarray(a).sum(1), "b": b}

    whole = joined(in_batches(function, ROWS, ROWS + 1, size=size), done.append)
    np.testing.assert_array_equal(whole["sum"], ROWS.sum(1))
    np.testing.assert_array_equal(whole["b"], ROWS + 1)
    assert (seen, done) == (shapes, steps)


@pytest.mark.parametrize(
    ("size", "shapes"), [(3, [4, 4]), (7, [8]), (100, [8]), (4, [4, 4]), (1, [4, 4])]
)
def test_batches_are_of_a_multiple_of_the_devices(size, shapes):
    seen = []

    def function(rows):
        seen.append(len(rows))
        return rows + 1

    whole = joined(in_batches(function, ROWS, size=size, multiple=4))
    np.testing.assert_array_equal(whole, ROWS + 1)
    assert seen == shapes


def test_a_size_below_one_is_refused():
    with pytest.raises(UserError, match="batch_size must be 1 or more, not 0"):
        next(in_batches(len, ROWS, size=0))
