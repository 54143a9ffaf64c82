"""Randomness by address: a draw is named by purpose, step and example.

Nothing random is carried from step to step. So a resumed run needs no key in
its checkpoint, and an example gets the same noise on 1, 2 or 8 devices.
"""

import zlib

import jax

from diffusion_audio.aliases import Array, Key


def purpose_key(root: Key, purpose: str) -> Key:
    """The key of one use of randomness, such as ``"timestep"``."""
    return jax.random.fold_in(root, zlib.crc32(purpose.encode()) & 0x7FFFFFFF)


def step_key(root: Key, purpose: str, step: Array | int) -> Key:
    """The key of one use of randomness at one step."""
    return jax.random.fold_in(purpose_key(root, purpose), step)


def example_keys(root: Key, purpose: str, step: Array | int, index: Array) -> Key:
    """One key for each example of a batch.

    Args:
        root: the run's key.
        purpose: what the randomness is for.
        step: number of the update.
        index: int32 [B], positions in the global batch.

    Returns:
        Keys [B].
    """
    key = step_key(root, purpose, step)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)
