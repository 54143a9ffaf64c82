"""Guidance: from a denoiser to a denoiser."""

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.process import Process
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.diffusion.schedule import per_example
from diffusion_audio.diffusion.solvers import Denoiser
from diffusion_audio.errors import UserError


def classifier_free(
    denoise2: Denoiser,
    scale: float | Array,
    *,
    rescale: float | Array = 0.0,
    interval: tuple[float | Array, float | Array] | None = None,
    learned_variance: bool = False,
) -> Denoiser:
    """Classifier-free guidance; Ho & Salimans 2022, eq. 6, with scale = 1 + w.

    eps = eps_u + scale (eps_c - eps_u): 0 ignores the condition, 1 obeys it, more
    exaggerates it. Both predictions come from one call on a doubled batch, and being
    linear this is the same for any kind of prediction. A negative prompt is the
    condition in the place of none: what guidance leads away from.

    Args:
        denoise2: works on 2B examples, the first B under their conditions and the
            last B under none: ``x`` and ``t`` come twice, the caller stacks the
            conditions [conditions; none].
        scale: a number or [B], one per example; may be traced, so that a new value
            compiles nothing.
        rescale: share of the guided prediction that is brought back to the standard
            deviation of the conditional one, against overexposure; phi of Lin et al.
            2023, eq. 14-16, which takes 0.7.
        interval: times between which guidance acts, elsewhere the scale is 1;
            Kynkaanniemi et al. 2024, eq. 6. See `interval_of`.
        learned_variance: the last axis of an output is doubled by a variance
            (``reverse.split_variance``), which stays that of the conditions.

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
        if interval is not None:
            low, high = (jnp.asarray(end, jnp.float32) for end in interval)
            now = t.astype(jnp.float32)
            weight = jnp.where((low <= now) & (now <= high), weight, jnp.float32(1))
        both = denoise2(jnp.concatenate([x, x]), jnp.concatenate([t, t]))
        cond, uncond = jnp.split(both.astype(jnp.float32), 2)
        rest = []
        if learned_variance:
            (cond, variance), (uncond, _) = split_variance(cond), split_variance(uncond)
            rest = [variance]
        guided = uncond + per_example(weight, x) * (cond - uncond)
        if not (isinstance(rescale, float) and rescale == 0):
            axes = tuple(range(1, x.ndim))
            wanted, got = (jnp.std(a, axes, keepdims=True) for a in (cond, guided))
            phi = jnp.asarray(rescale, jnp.float32)
            guided = (phi * (wanted / got) + (1 - phi)) * guided
        return jnp.concatenate([guided, *rest], axis=-1)

    return denoise


def interval_of(process: Process, low: float, high: float) -> tuple[float, float]:
    """The times at which a process has some ratios sigma / alpha, for ``interval``.

    Args:
        process: that the network was trained on.
        low: the smaller ratio, the paper's sigma_lo; may be 0.
        high: the larger, sigma_hi; may be infinite.

    Raises:
        UserError: the ratios are out of order.
    """
    if not 0 <= low < high:
        raise UserError(
            "guidance interval: expected two noise-to-data ratios, 0 <= low < high, "
            f"got {low} and {high}"
        )
    with np.errstate(divide="ignore"):
        ends = process.time_of(-2 * np.log(np.array([low, high], np.float64)))
    first, last = (float(process.network_time(t)) for t in ends)
    return first, last
