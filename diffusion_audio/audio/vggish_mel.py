"""The log-mels that VGGish is shown (Hershey et al. 2017, section 3.2).

Magnitudes and not powers, frames that are not padded, triangles over mels of HTK's
scale, and a logarithm with an offset.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import hann_window, kaldi_triangles, spectrum
from diffusion_audio.audio.precision import in_float64
from diffusion_audio.errors import UserError

OFFSET = 0.01  # added to a band before its logarithm


@dataclass(frozen=True)
class VGGishMel:
    """How VGGish's mels are made.

    Attributes:
        sample_rate: Hz.
        win_length: samples of a frame, under a periodic Hann window.
        n_fft: length of the Fourier transform; zeros follow a frame.
        hop_length: samples between frames.
        n_mels: mel bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
    """

    sample_rate: int = 16_000
    win_length: int = 400
    n_fft: int = 512
    hop_length: int = 160
    n_mels: int = 64
    fmin: float = 125.0
    fmax: float = 7500.0

    def __post_init__(self) -> None:
        rising = 1 <= self.hop_length <= self.win_length <= self.n_fft
        if not rising or not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise UserError(
                "VGGish's mels: expected hop_length <= win_length <= n_fft and fmin < "
                f"fmax <= half the sample rate, got {self}"
            )

    def samples(self, frames: int) -> int:
        """Samples that make so many frames."""
        return (frames - 1) * self.hop_length + self.win_length


@in_float64
def vggish_mel(cfg: VGGishMel, waves: Array) -> Array:
    """``ln(magnitude in a band + 0.01)``.

    Args:
        cfg: what the mel means.
        waves: [B, N] floats, full scale 1, N at least ``win_length``.

    Returns:
        float32 [B, T, n_mels], T = 1 + (N - win_length) // hop_length.
    """
    window = hann_window(cfg.win_length, cfg.win_length)
    magnitude = jnp.abs(spectrum(waves, window, cfg.hop_length, cfg.n_fft))
    bands = kaldi_triangles(cfg.sample_rate, cfg.n_fft, cfg.n_mels, cfg.fmin, cfg.fmax)
    mel = jnp.matmul(magnitude, jnp.asarray(bands.T), precision="highest")
    return jnp.log(mel + OFFSET)
