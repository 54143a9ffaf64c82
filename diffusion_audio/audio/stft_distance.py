"""How far waveforms are apart in their spectrograms: a metric, and a training loss."""

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import stft_magnitude
from diffusion_audio.errors import UserError

# (n_fft, hop, window): auraloss's defaults (Yamamoto et al., 2020, table 1).
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
POWER_FLOOR = 1e-8


@jax.jit(static_argnames="together")
def multi_resolution_stft(ref: Array, est: Array, *, together: bool = False) -> Array:
    """Multi-resolution STFT distance, "M-STFT" (Yamamoto et al., 2020, equation 6).

    The mean over ``RESOLUTIONS`` of the spectral convergence, relative to ``ref``,
    plus the mean absolute difference of natural log magnitudes; of one clip it equals
    auraloss's MultiResolutionSTFTLoss(est, ref).

    Args:
        ref: [B, N] reference waveforms.
        est: [B, N] waveforms to compare.
        together: take the batch as one long clip, as in training, where the
            convergence to a silent clip alone would outweigh all others.

    Returns:
        [B], or [] ``together``; 0 for equal spectrograms.

    Raises:
        UserError: the shapes differ.
    """
    require_pairs(ref, est)
    axes = (0, 1, 2) if together else (1, 2)
    total = jnp.zeros(())
    for n_fft, hop, window in RESOLUTIONS:
        real, made = (
            stft_magnitude(
                wave, n_fft, hop, window, pad=n_fft // 2, power_floor=POWER_FLOOR
            )
            for wave in (ref, est)
        )
        convergence = _norm(real - made, axes) / _norm(real, axes)
        total += convergence + jnp.abs(jnp.log(real) - jnp.log(made)).mean(axes)
    return total / len(RESOLUTIONS)


def _norm(x: Array, axes: tuple[int, ...]) -> Array:
    """The square root of the sum of squares, with gradient 0 where that is 0."""
    total = jnp.square(x).sum(axes)
    return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1.0)), 0.0)


def require_pairs(ref: Array, est: Array) -> None:
    """Refuses waveforms that cannot be compared sample by sample.

    Raises:
        UserError: not both are [B, N] of one shape.
    """
    if ref.ndim != 2 or ref.shape != est.shape:
        raise UserError(
            "expected reference and estimate [B, N] of one shape, "
            f"got {ref.shape} and {est.shape}: cut both to the shorter one"
        )
