"""A metric network with its weights, as scoring takes it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.systems.audio_encoders import AudioEncoder


class OpenEncoder(NamedTuple):
    """A network that is ready to hear.

    Attributes:
        encoder: of the table.
        params: its weights.
        weights: their hash.
        settings: its config, in words: with the weights, all that it does.
        text: float [n, D] of texts, in the space of its embeddings; None where it takes
            none.
    """

    encoder: AudioEncoder
    params: Params
    weights: str
    settings: str
    text: Callable[[Sequence[str]], np.ndarray] | None = None


Open = Callable[[str], OpenEncoder]
"""Finds a network by the name that a protocol has for it."""
