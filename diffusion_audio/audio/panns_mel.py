"""The log-mels that PANNs are shown (Kong et al. 2020, section VI-B).

Those of librosa: power of a centred and reflected short-time Fourier transform, bands
of Slaney's scale and equal area, decibels down to -100.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.decibels import power_decibels
from diffusion_audio.audio.mel import mel_filterbank
from diffusion_audio.audio.precision import in_float64
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError


@dataclass(frozen=True)
class PannsMel:
    """How PANNs' mels are made. The defaults are those at 32 kHz.

    Attributes:
        sample_rate: Hz.
        n_fft: length of the Fourier transform and its Hann window, samples.
        hop_length: samples between frames.
        n_mels: mel bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
    """

    sample_rate: int = 32_000
    n_fft: int = 1024
    hop_length: int = 320
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 14_000.0

    def __post_init__(self) -> None:
        _ = self.bands  # refuses what cannot be

    @property
    def bands(self) -> np.ndarray:
        """Mel bands over the power spectrum: float64 [n_mels, n_fft // 2 + 1]."""
        spec = AudioSpec(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            win_length=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            fmin=self.fmin,
            fmax=self.fmax,
            mel_scale="slaney",
            mel_norm="slaney",
            framing="centre",
        )
        return mel_filterbank(spec)


PANNS_16K = PannsMel(16_000, 512, 160, 64, 50.0, 8000.0)


def panns_mel(cfg: PannsMel, waves: Array) -> Array:
    """Decibels of the bands.

    Args:
        cfg: what the mel means.
        waves: [B, N] floats, full scale 1.

    Returns:
        float32 [B, 1 + N // hop_length, n_mels].

    Raises:
        UserError: the waves are too short to be reflected.
    """
    if waves.shape[1] <= cfg.n_fft // 2:
        raise UserError(
            f"PANNs: expected waves of {cfg.n_fft // 2 + 1} samples or more, got "
            f"{waves.shape[1]}; pad them with zeros"
        )
    return _decibels(cfg, waves)


def panns_mel_filled(
    cfg: PannsMel, waves: Array, samples: Array
) -> tuple[Array, Array]:
    """`panns_mel` of waves of several lengths, each reflected at its own end.

    Args:
        cfg: what the mel means.
        waves: [B, N] floats; what lies beyond a wave's samples does not count.
        samples: int [B], of each wave; more than ``n_fft // 2``.

    Returns:
        float32 [B, 1 + N // hop_length, n_mels] and how many frames of each are its
        own, int [B]; those after them mean nothing.
    """
    count = waves.shape[1]
    place = jnp.arange(count + cfg.n_fft // 2)[None]
    last = samples[:, None] - 1
    reflected = jnp.where(place <= last, place, 2 * last - place)
    waves = jnp.take_along_axis(waves, jnp.maximum(reflected, 0), axis=1)
    frames = 1 + samples // cfg.hop_length
    return _decibels(cfg, waves)[:, : 1 + count // cfg.hop_length], frames


@in_float64
def _decibels(cfg: PannsMel, waves: Array) -> Array:
    return power_decibels(waves, cfg.n_fft, cfg.hop_length, cfg.bands)
