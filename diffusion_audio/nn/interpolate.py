"""Resampling of one axis as a matrix that multiplies it."""

import numpy as np

CUBIC = -0.75  # Keys' coefficient as PyTorch and OpenCV have it


def bicubic_matrix(points: int, size: int) -> np.ndarray:
    """Cubic convolution (Keys 1981) from one length to another, ends on ends.

    Beyond the ends the outermost values go on, as in PyTorch's ``interpolate`` with
    ``align_corners``.

    Args:
        points: the length that there is.
        size: the length to make, at least 2.

    Returns:
        float32 [size, points], each row of sum 1.
    """
    places = np.arange(size) * ((points - 1) / (size - 1))
    start = np.floor(places).astype(int)
    matrix = np.zeros((size, points))
    for offset in (-1, 0, 1, 2):
        column = np.clip(start + offset, 0, points - 1)
        weight = _cubic(np.abs(places - (start + offset)))
        np.add.at(matrix, (np.arange(size), column), weight)
    return matrix.astype(np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel at distances up to 2, equations 14 and 15 for any coefficient."""
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x**2 + 1
    far = ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC
    return np.where(x <= 1, near, far)
