"""Front ends in float64 within programs of float32."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array


def in_float64(front: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
    """A function of settings and waves that computes in float64, wherever it is used.

    Decibels reach 100 below full scale, where a float32 Fourier transform of a loud
    frame has only its own noise. The result can be jitted and mapped like any other.
    It needs a backend with a float64 Fourier transform, as CPUs and GPUs have one.

    Args:
        front: ``front(cfg, waves)``; it is given float64 waves.

    Returns:
        The same of float32 waves, float32 too.
    """

    @functools.wraps(front)
    def wrapped(cfg: Any, waves: Array) -> Array:
        with jax.enable_x64(True):
            waves = jnp.asarray(waves, jnp.float32).astype(jnp.float64)
            return front(cfg, waves).astype(jnp.float32)

    return wrapped
