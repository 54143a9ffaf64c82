"""The log-mels that PaSST is shown (Koutini et al. 2022, section 3.1).

As its authors' library makes them: a pre-emphasis, power under a symmetric Hann window
that is shorter than the transform, Kaldi's bands, a logarithm with an offset, and an
affine map to about unit range.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import kaldi_triangles, spectrum
from diffusion_audio.audio.precision import in_float64
from diffusion_audio.errors import UserError

EMPHASIS = 0.97  # of the sample before, which is taken off
OFFSET = 1e-5  # added to a band before its logarithm
SHIFT, RANGE = 4.5, 5.0


@dataclass(frozen=True)
class PasstMel:
    """How PaSST's mels are made.

    Attributes:
        sample_rate: Hz.
        n_fft: length of the Fourier transform.
        win_length: samples of the symmetric Hann window in its middle.
        hop_length: samples between frames.
        n_mels: mel bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
        samples: of the network's input; ten seconds.
    """

    sample_rate: int = 32_000
    n_fft: int = 1024
    win_length: int = 800
    hop_length: int = 320
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float = 15_000.0
    samples: int = 320_000

    def __post_init__(self) -> None:
        rising = 1 <= self.hop_length <= self.win_length <= self.n_fft
        if not rising or not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise UserError(
                "PaSST's mels: expected hop_length <= win_length <= n_fft and fmin < "
                f"fmax <= half the sample rate, got {self}"
            )
        if self.samples <= self.n_fft // 2 + 1:
            raise UserError(
                f"PaSST's mels: expected samples above n_fft // 2 + 1, got {self}"
            )

    @property
    def frames(self) -> int:
        """Frames of the network's input."""
        return 1 + (self.samples - 1) // self.hop_length

    @property
    def window(self) -> np.ndarray:
        """Float64 [n_fft]."""
        window = np.zeros(self.n_fft)
        start = (self.n_fft - self.win_length) // 2
        window[start : start + self.win_length] = np.hanning(self.win_length)
        return window


@in_float64
def passt_mel(cfg: PasstMel, waves: Array) -> Array:
    """``(ln(power in a band + 1e-5) + 4.5) / 5`` of the emphasised wave.

    Args:
        cfg: what the mel means.
        waves: [B, N] floats, full scale 1, N above ``n_fft // 2 + 1``.

    Returns:
        float32 [B, 1 + (N - 1) // hop_length, n_mels].
    """
    sharp = waves[:, 1:] - EMPHASIS * waves[:, :-1]
    pad = cfg.n_fft // 2
    padded = jnp.pad(sharp, ((0, 0), (pad, pad)), mode="reflect")
    found = spectrum(padded, cfg.window, cfg.hop_length, cfg.n_fft)
    power = jnp.square(found.real) + jnp.square(found.imag)
    bands = kaldi_triangles(cfg.sample_rate, cfg.n_fft, cfg.n_mels, cfg.fmin, cfg.fmax)
    mel = jnp.matmul(power, jnp.asarray(bands.T), precision="highest")
    return (jnp.log(mel + OFFSET) + SHIFT) / RANGE
