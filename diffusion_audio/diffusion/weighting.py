"""How much an error counts at each signal-to-noise ratio.

A paper states its weight on the squared error of eps, of x_0 or of whatever its network
predicts. At a given x_t these errors are multiples of each other (``prediction``), so
each weighting here stands in its paper's own terms and holds exactly for a network that
predicts anything else. How often a noise level comes is another matter, of the schedule
and of ``times``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.choice import choose, positive
from diffusion_audio.diffusion.prediction import determinant


class Weighting(NamedTuple):
    """A weight on a squared error.

    Attributes:
        kind: of the error, as in ``prediction.PREDICTIONS``; None for that of what the
            network predicts.
        weigh: ``weigh(snr) -> weight``, of any shape.
    """

    kind: str | None
    weigh: Callable[[Array], Array]


def simple() -> Weighting:
    """1 on what the network predicts; Ho et al. 2020, eq. 14."""
    return Weighting(None, jnp.ones_like)


def min_snr(gamma: float = 5.0) -> Weighting:
    """min(SNR, gamma) on x_0; Hang et al. 2023, section 3.4."""
    positive("min_snr weighting", gamma=gamma)
    return Weighting("x0", lambda snr: jnp.minimum(snr, gamma))


def p2(k: float = 1.0, gamma: float = 1.0) -> Weighting:
    """1 / (k + SNR)^gamma on eps; Choi et al. 2022 (P2)."""
    positive("p2 weighting", k=k, gamma=gamma)
    return Weighting("epsilon", lambda snr: (k + snr) ** -gamma)


def truncated_snr() -> Weighting:
    """max(SNR, 1) on x_0; Salimans & Ho 2022, section 4."""
    return Weighting("x0", lambda snr: jnp.maximum(snr, 1.0))


def sigmoid(bias: float = -3.0) -> Weighting:
    """A sigmoid of bias - log SNR on eps; Kingma & Gao 2023, Hoogeboom et al. 2024.

    There a factor -d log SNR / dt stands before it, which takes the schedule out of
    the loss; here the schedule keeps its say in how often each noise level comes.
    """
    return Weighting("epsilon", lambda snr: 1 / (1 + snr * jnp.exp(-bias)))


def edm(sigma_data: float = 1.0) -> Weighting:
    """(s^2 + sigma_data^2) / (s sigma_data)^2 on x_0, where s^2 = 1 / SNR.

    Karras et al. 2022, table 1. With sigma_data = 1, for data of unit scale as latents
    are here, that is 1 on v; Karras et al. take 0.5 for images in [-1, 1].
    """
    positive("edm weighting", sigma_data=sigma_data)
    return Weighting("x0", lambda snr: snr + sigma_data**-2)


WEIGHTINGS = {f.__name__: f for f in (simple, min_snr, p2, truncated_snr, sigmoid, edm)}


def make_weighting(name: str = "simple", **options: Any) -> Weighting:
    """A weighting by name.

    Raises:
        UserError: an unknown name or option, or one out of its range.
    """
    weighting: Weighting = choose("weighting", WEIGHTINGS, name, options)
    return weighting


def loss_weight(
    weighting: Weighting, prediction: str, alpha: Array, sigma: Array
) -> Array:
    """The weight on the squared error of what the network predicts.

    Args:
        weighting: in its own terms.
        prediction: what the network predicts.
        alpha: factor on the data in x_t, of any shape.
        sigma: factor on the noise, the same shape.
    """
    weight = weighting.weigh(jnp.square(alpha / sigma))
    if weighting.kind in (None, prediction):
        return weight
    ours = determinant(prediction, alpha, sigma)
    return weight * jnp.square(determinant(weighting.kind, alpha, sigma) / ours)
