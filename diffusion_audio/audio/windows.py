"""Windows of one length that together hold a whole wave."""

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError


def require_waves(waves: Array, whose: str) -> None:
    """Refuses what are no waves [B, N].

    Args:
        waves: what came.
        whose: of what they are, for errors.

    Raises:
        UserError: they are of whole numbers, empty, or not one channel a clip.
    """
    floating = jnp.issubdtype(waves.dtype, jnp.floating)
    if waves.ndim != 2 or not floating or not waves.shape[1]:
        raise UserError(
            f"{whose}: expected waves of floats [B, N], got {waves.dtype} of shape "
            f"{list(waves.shape)}; mix channels to one, divide 16-bit samples by 32768"
        )


def window_starts(samples: int, window: int) -> np.ndarray:
    """First samples of as few windows as hold a whole wave.

    They are spread evenly, the first at its start, the last at its end.

    Args:
        samples: of the wave; at least ``window``.
        window: samples of each.

    Returns:
        int [E], E = ceil(samples / window).
    """
    count = -(-samples // window)
    return np.linspace(0, samples - window, count).round().astype(int)


def covering_windows(waves: Array, window: int) -> Array:
    """[B, N] -> [B, E, window], see `window_starts`; N is at least ``window``."""
    starts = window_starts(waves.shape[1], window)
    return jnp.stack([waves[:, start : start + window] for start in starts], axis=1)
