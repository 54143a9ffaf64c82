"""The log-mels that CLAP's audio tower takes, made on the host in float64.

CLAP (Wu et al. 2023) looks at ten seconds: a shorter clip is repeated, and of a longer
one it sees a crop or, with feature fusion, the whole shrunk and three crops. The
originals crop at random, so that one clip has many embeddings; here the crop is the
middle one unless it is told.

Decibels of power reach 100 below full scale, where float32's Fourier transform of a
loud frame has only its own noise: hence float64.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.decibels import POWER_FLOOR, power_decibels
from diffusion_audio.audio.mel import hann_window, mel_triangles
from diffusion_audio.audio.precision import in_float64
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown

PADDINGS = ("repeatpad", "repeat", "pad")
CROPS = 3


@dataclass(frozen=True)
class ClapMel:
    """How CLAP makes its mels. The defaults are those of LAION's code.

    Attributes:
        sample_rate: Hz.
        n_fft: length of the Fourier transform and its Hann window, samples.
        hop_length: samples between frames.
        n_mels: mel bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
        samples: of what the tower sees; ten seconds.
        fusion: whether a longer clip is seen whole and in three crops. The bands are
            then HTK's of equal height, and Slaney's of equal area otherwise.
        padding: a shorter clip is repeated as often as it fits whole and zeros follow
            (``"repeatpad"``), repeated and cut (``"repeat"``), or zeros follow
            (``"pad"``).
    """

    sample_rate: int = 48_000
    n_fft: int = 1024
    hop_length: int = 480
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 14_000.0
    samples: int = 480_000
    fusion: bool = False
    padding: str = "repeatpad"

    def __post_init__(self) -> None:
        if self.padding not in PADDINGS:
            raise unknown("padding of CLAP's mels", self.padding, PADDINGS)
        if self.samples <= self.n_fft:
            raise UserError(
                f"CLAP's mels: expected samples above n_fft={self.n_fft}, got "
                f"{self.samples}"
            )
        _ = self.bands  # refuses what cannot be

    @property
    def frames(self) -> int:
        """Frames of what the tower sees."""
        return 1 + self.samples // self.hop_length

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
            mel_scale="htk" if self.fusion else "slaney",
            mel_norm="none" if self.fusion else "slaney",
            framing="centre",
        )
        return mel_triangles(spec)


class Seen(NamedTuple):
    """What the tower sees of a clip.

    Attributes:
        mel: float32 [frames, n_mels, 1], decibels; [frames, n_mels, 4] with fusion,
            the clip and its crops.
        longer: whether it was cut. With fusion LAION and transformers declare a random
            clip of a batch longer where none is, so a single one always.
    """

    mel: np.ndarray
    longer: bool


def clap_mel(
    cfg: ClapMel, wave: np.ndarray, places: tuple[float, ...] = (0.5, 0.5, 0.5)
) -> Seen:
    """The mel of one clip, equal to transformers' ``ClapFeatureExtractor``.

    Args:
        cfg: what the mel means.
        wave: [N] floats at its rate, full scale 1, any length above 0.
        places: where crops of a longer clip are, from 0 (earliest) to 1 (latest): the
            first of the one crop; with fusion of each within its third of the clip.

    Raises:
        UserError: the wave is empty, of whole numbers, or not of one channel; or a
            place lacks or is none.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1 or not wave.size or wave.dtype.kind != "f":
        raise UserError(
            f"CLAP: expected a wave of floats [N], got {wave.dtype} of shape "
            f"{list(wave.shape)}; mix channels to one, divide 16-bit samples by 32768"
        )
    if len(places) < 1 + 2 * cfg.fusion or not all(0 <= x <= 1 for x in places):
        raise UserError(
            f"CLAP: expected {1 + 2 * cfg.fusion} places from 0 to 1, got {places}"
        )
    longer = wave.size > cfg.samples
    if not longer:
        wave = _filled(cfg, wave)
    elif not cfg.fusion:
        start = round(places[0] * (wave.size - cfg.samples))
        wave = wave[start : start + cfg.samples]
    mel = _decibels(cfg, wave)
    if not cfg.fusion:
        return Seen(mel[:, :, None], longer)
    if len(mel) == cfg.frames:  # less than a hop too long is not cut
        return Seen(np.repeat(mel[:, :, None], 1 + CROPS, axis=2), False)
    crops = [
        mel[start : start + cfg.frames]
        for start in _starts(len(mel) - cfg.frames, places)
    ]
    return Seen(np.stack([_shrunk(mel, cfg.frames), *crops], axis=2), True)


def filled(cfg: ClapMel, waves: Array) -> Array:
    """Clips [B, N], N at most ``samples``, made as long as the tower sees."""
    waves = waves[:, _filling(cfg, waves.shape[1])]
    return jnp.pad(waves, ((0, 0), (0, cfg.samples - waves.shape[1])))


@in_float64
def clap_decibels(cfg: ClapMel, waves: Array) -> Array:
    """The mel of clips that are as long as the tower sees, where it is used on.

    `clap_mel` is the same on the host, of a clip of any length in float64.

    Args:
        cfg: what the mel means.
        waves: [B, samples].

    Returns:
        float32 [B, frames, n_mels], decibels.
    """
    return power_decibels(waves, cfg.n_fft, cfg.hop_length, cfg.bands)


def _filled(cfg: ClapMel, wave: np.ndarray) -> np.ndarray:
    """A clip made as long as the tower sees."""
    wave = wave[_filling(cfg, wave.size)]
    return np.pad(wave, (0, cfg.samples - wave.size))


def _filling(cfg: ClapMel, size: int) -> np.ndarray:
    """Which samples of a shorter clip follow each other before the zeros."""
    whole = size * (cfg.samples // size)
    length = {"repeat": cfg.samples, "repeatpad": whole, "pad": size}[cfg.padding]
    return np.arange(length) % size


def _decibels(cfg: ClapMel, wave: np.ndarray) -> np.ndarray:
    """[N] -> float32 [1 + N // hop, n_mels], decibels of power."""
    padded = np.pad(wave.astype(np.float64), cfg.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, cfg.n_fft)
    spectrum = np.fft.rfft(frames[:: cfg.hop_length] * hann_window(*[cfg.n_fft] * 2))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = np.maximum(power @ cfg.bands.T, POWER_FLOOR)
    return (10 * np.log10(mel)).astype(np.float32)


def _starts(latest: int, places: tuple[float, ...]) -> list[int]:
    """First frames of the crops, one in each third of the possible, 0 if empty."""
    thirds = np.array_split(np.arange(latest + 1), CROPS)
    return [
        int(third[round(place * (len(third) - 1))]) if len(third) else 0
        for third, place in zip(thirds, places, strict=False)
    ]


def _shrunk(mel: np.ndarray, frames: int) -> np.ndarray:
    """[T, F] -> [frames, F], linear between frames as PyTorch's ``interpolate``.

    Its places are kept: a float32 ratio, one rounding after. Those late in a long clip
    are off by thousandths of a frame, which is hundredths of a decibel.
    """
    ratio = np.float32(len(mel)) / np.float32(frames)
    exact = np.float64(ratio) * (np.arange(frames) + 0.5) - 0.5
    places = np.maximum(exact, 0).astype(np.float32)
    before = np.minimum(places.astype(int), len(mel) - 1)
    after = np.minimum(before + 1, len(mel) - 1)
    share = (places - before.astype(np.float32))[:, None]
    return mel[before] * (1 - share) + mel[after] * share
