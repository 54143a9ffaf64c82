"""Randomness by address: a draw is named by purpose, step and example.

Nothing random is carried from step to step, so a resumed run needs no key in its
checkpoint; and what an example gets belongs to it, not to the batch or the device that
it is on.
"""

import zlib

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key


def purpose_key(root: Key, purpose: str) -> Key:
    """The key of one use of randomness, such as ``"timestep"``."""
    return jax.random.fold_in(root, zlib.crc32(purpose.encode()) & 0x7FFFFFFF)


def step_key(root: Key, purpose: str, step: Array | int) -> Key:
    """The key of one use of randomness at one step."""
    return jax.random.fold_in(purpose_key(root, purpose), step)


def example_keys(key: Key, indices: Array) -> Key:
    """One key per example: ``fold_in(key, index)``.

    Args:
        key: one key, used for nothing else.
        indices: the examples' places in the whole set or global batch, int32 [B].

    Returns:
        Keys [B]; that of an index is the same in any batch, on any device.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


def example_noise(keys: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal of ``shape`` for each key, float32 [B, *shape]."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(keys)
