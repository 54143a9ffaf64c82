"""Guidance: from a denoiser to a denoiser."""

import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.schedule import per_example
from diffusion_audio.diffusion.solvers import Denoiser
from diffusion_audio.errors import UserError


def classifier_free(denoise2: Denoiser, scale: float | Array) -> Denoiser:
    """Classifier-free guidance; Ho & Salimans 2022, eq. 6, with scale = 1 + w.

    eps = eps_u + scale (eps_c - eps_u): 0 ignores the condition, 1 obeys it, more
    exaggerates it. Both predictions come from one call on a doubled batch.

    Args:
        denoise2: works on 2B examples, the first B under their conditions and the
            last B under none: ``x`` and ``t`` come twice, the caller stacks the
            conditions [conditions; none].
        scale: a number or [B], one per example; may be traced, so that a new value
            compiles nothing.

    Returns:
        A denoiser of B examples.
    """

    def denoise(x: Array, t: Array) -> Array:
        weight = jnp.asarray(scale, jnp.float32)
        if weight.shape not in ((), x.shape[:1]):
            raise UserError(
                f"guidance scale: expected a number or one per example, "
                f"{x.shape[:1]}, got shape {weight.shape}"
            )
        both = denoise2(jnp.concatenate([x, x]), jnp.concatenate([t, t]))
        cond, uncond = jnp.split(both.astype(jnp.float32), 2)
        return uncond + per_example(weight, x) * (cond - uncond)

    return denoise
