"""Squares of two, and what is odd is dropped."""

import numpy as np
import pytest

from diffusion_audio.nn.pooling import average_pool, max_pool
from tests.networks import normal


@pytest.mark.parametrize(("pool", "of"), [(average_pool, np.mean), (max_pool, np.max)])
def test_each_square(pool, of):
    x = normal(2, 5, 6, 3)
    found = pool(x)
    assert found.shape == (2, 2, 3, 3)
    for i in range(2):
        for j in range(3):
            square = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            expected = of(square, axis=(1, 2))
            np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-6)
