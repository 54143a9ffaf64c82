"""Randomness that belongs to an example, not to the batch the example is in."""

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key


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
