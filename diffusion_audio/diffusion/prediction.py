"""What a network predicts of x_t = alpha x_0 + sigma eps, and how each is the others.

==========  ======================  ==================================
epsilon     eps                     Ho et al. 2020, eq. 12
x0          x_0                     Ho et al. 2020, section 3.2
v           alpha eps - sigma x_0   Salimans & Ho 2022, section 4
velocity    eps - x_0               Liu et al. 2023 (rectified flow)
==========  ======================  ==================================

Each is a x_0 + b eps, so a prediction and x_t are two equations for the two unknowns.
"""

from typing import TypeVar

import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.errors import unknown

PREDICTIONS = ("epsilon", "x0", "v", "velocity")

Level = TypeVar("Level", Array, np.ndarray)


def combination(
    prediction: str, alpha: Level, sigma: Level
) -> tuple[Level | float, Level | float]:
    """The numbers (a, b) of ``prediction = a x_0 + b eps``.

    Raises:
        UserError: an unknown kind of prediction.
    """
    if prediction not in PREDICTIONS:
        raise unknown("prediction", prediction, PREDICTIONS)
    known: dict[str, tuple[Level | float, Level | float]] = {
        "epsilon": (0.0, 1.0),
        "x0": (1.0, 0.0),
        "v": (-sigma, alpha),
        "velocity": (-1.0, 1.0),
    }
    return known[prediction]


def determinant(prediction: str, alpha: Level, sigma: Level) -> Level:
    """Of x_t and the prediction as two equations in x_0 and eps.

    At one x_t the error of a prediction is to that of another as their determinants:
    with epsilon's alpha and x0's -sigma, alpha dx_0 = -sigma deps.
    """
    a, b = combination(prediction, alpha, sigma)
    return alpha * b - sigma * a


def target(prediction: str, x0: Array, eps: Array, alpha: Array, sigma: Array) -> Array:
    """What the network should have predicted.

    Args:
        prediction: one of ``PREDICTIONS``.
        x0: data, [B, ...].
        eps: noise, shaped like ``x0``.
        alpha: factor on the data in x_t, broadcast to ``x0``.
        sigma: factor on the noise, of the same shape as alpha.
    """
    a, b = combination(prediction, alpha, sigma)
    return a * x0 + b * eps


def x0_eps_coefficients(
    prediction: str, alpha: Level, sigma: Level
) -> tuple[tuple[Level, Level], tuple[Level, Level]]:
    """The coefficients of x_0 and eps as sums of x_t and a prediction.

    Returns:
        (c, d) of ``x_0 = c x_t + d prediction``, and those of eps; shaped like alpha.
    """
    a, b = combination(prediction, alpha, sigma)
    # Cramer's rule; divided first, so that x / x is 1 for what was predicted.
    d = determinant(prediction, alpha, sigma)
    return (b / d, -sigma / d), (-a / d, alpha / d)


def to_x0_eps(
    prediction: str, output: Array, x: Array, alpha: Array, sigma: Array
) -> tuple[Array, Array]:
    """The x_0 and the eps that a prediction implies; alpha x_0 + sigma eps is ``x``.

    What was predicted comes back bit for bit. Where alpha is 0, epsilon does not
    determine x_0, nor x0 eps where sigma is 0: there the answer is not finite.

    Args:
        prediction: one of ``PREDICTIONS``.
        output: of the network, shaped like ``x``.
        x: x_t, [B, ...].
        alpha: factor on the data in x_t, broadcast to ``x``.
        sigma: factor on the noise, of the same shape as alpha.
    """
    of_x0, of_eps = x0_eps_coefficients(prediction, alpha, sigma)
    x0 = of_x0[0] * x + of_x0[1] * output
    eps = of_eps[0] * x + of_eps[1] * output
    return x0, eps


def convert(
    output: Array, x: Array, alpha: Array, sigma: Array, *, source: str, to: str
) -> Array:
    """One kind of prediction from another; arguments as of `to_x0_eps`."""
    x0, eps = to_x0_eps(source, output, x, alpha, sigma)
    return target(to, x0, eps, alpha, sigma)
