"""What a denoiser is conditioned on beside the time."""

from typing import NamedTuple

from diffusion_audio.aliases import Array


class Context(NamedTuple):
    """A sequence to attend to.

    Attributes:
        tokens: [B, L, D].
        mask: bool [B, L], True for real tokens; None when all are.
    """

    tokens: Array
    mask: Array | None = None


class Condition(NamedTuple):
    """Everything a conditional network takes; empty for an unconditional one.

    Attributes:
        contexts: sequences for cross-attention, in the order the network reads them.
        vector: [B, D], joined to the time embedding; or None.
    """

    contexts: tuple[Context, ...] = ()
    vector: Array | None = None
