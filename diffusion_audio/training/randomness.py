"""Randomness by address: a draw is named by purpose, step and example.

Nothing random is carried from step to step, so a resumed run needs no key in its
checkpoint. What an example gets is drawn from `diffusion.noise.example_keys` of the
step's key, so it is the same on 1, 2 or 8 devices.
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
