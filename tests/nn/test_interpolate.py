import numpy as np
import pytest

from diffusion_audio.nn.interpolate import bicubic_matrix


@pytest.mark.parametrize(("points", "size"), [(7, 11), (11, 7), (5, 5), (1, 4)])
def test_rows_sum_to_one_and_ends_stay(points, size):
    matrix = bicubic_matrix(points, size)
    assert matrix.shape == (size, points)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert matrix[0, 0] == 1
    assert matrix[-1, -1] == 1


def test_halfway_has_pytorchs_weights():
    """Keys' kernel of coefficient -0.75 at distances 3/2, 1/2, 1/2, 3/2."""
    row = bicubic_matrix(6, 11)[5]
    np.testing.assert_allclose(row, np.array([0, -3, 19, 19, -3, 0]) / 32, atol=1e-7)


def test_beyond_the_ends_the_last_value_goes_on():
    row = bicubic_matrix(6, 11)[1]
    np.testing.assert_allclose(row, np.array([16, 19, -3, 0, 0, 0]) / 32, atol=1e-7)
