"""What is done to a recording before a metric network hears it.

Toolkits differ in it, and their numbers by it; so each step is a setting, and all are
part of the hash of a number's `Protocol`. They are done in the order of the fields.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffusion_audio.audio.sinc import Sinc, resample

RESAMPLER = "soxr HQ"


@dataclass(frozen=True)
class Windows:
    """Parts of a recording that a network hears one at a time.

    Attributes:
        seconds: length of a part.
        hop: seconds from the start of one to that of the next.
        starts: where parts begin: ``"first"`` at 0 alone; ``"whole"`` wherever a whole
            one lies within the recording, and at 0; ``"hop"`` wherever more than a hop
            of sound is left, and at 0; ``"every"`` as long as there is sound.
        fill: of a part that the recording does not fill: ``"zeros"``, or ``"repeat"``,
            as often as it fits, and zeros after that.
    """

    seconds: float
    hop: float
    starts: Literal["first", "whole", "hop", "every"] = "whole"
    fill: Literal["zeros", "repeat"] = "zeros"


@dataclass(frozen=True)
class Treatment:
    """How a recording comes to a network.

    Attributes:
        channels: ``"mean"`` of all, or the ``"first"``.
        centred: its mean is taken away.
        through: a rate that it is brought to first, Hz; none where None.
        resampler: to the network's rate, where it has another; soxr's high quality
            where None.
        peak: level that its peak is brought to, dB re full scale; its own where None.
        pcm: rounded to 16 bits: ``"file"`` as in a WAV file, ``"clap"`` as LAION's
            CLAP does, 32767 steps towards 0; not at all where None.
        seconds: cut to this length; not at all where None.
        least: shorter ones get zeros up to this length, s.
        windows: the parts that are heard; the whole of it where None.
    """

    channels: Literal["mean", "first"] = "mean"
    centred: bool = False
    through: int | None = None
    resampler: Sinc | None = None
    peak: float | None = None
    pcm: tuple[Literal["file", "clap"], ...] = ()
    seconds: float | None = None
    least: float = 0.0
    windows: Windows | None = None

    def parts(self, sound: np.ndarray, sample_rate: int, to: int) -> np.ndarray:
        """What the network hears of a recording.

        Args:
            sound: [N, C], full scale 1.
            sample_rate: of it, Hz.
            to: the network's rate, Hz.

        Returns:
            float32 [E, M]: E parts of one length.
        """
        wave = sound[:, 0] if self.channels == "first" else sound.mean(axis=1)
        if self.centred:
            wave = wave - wave.mean(dtype=np.float64).astype(np.float32)
        if self.through is not None:
            wave = self._resampled(wave, sample_rate, self.through)
            sample_rate = self.through
        wave = self._resampled(wave, sample_rate, to)
        if self.peak is not None and (top := np.abs(wave).max()) > 0:
            wave = wave * np.float32(10 ** (self.peak / 20) / top)
        for kind in self.pcm:
            wave = _ROUNDED[kind](wave, to)
        if self.seconds is not None:
            wave = wave[: int(self.seconds * to)]
        wave = np.pad(wave, (0, max(0, round(self.least * to) - len(wave))))
        return np.stack([*self._cut(np.asarray(wave, np.float32), to)])

    def _resampled(self, wave: np.ndarray, sample_rate: int, to: int) -> np.ndarray:
        if sample_rate == to:
            return wave
        if self.resampler is not None:
            return resample(wave, sample_rate, to, self.resampler)
        import soxr

        return soxr.resample(wave, sample_rate, to, quality="HQ")

    def _cut(self, wave: np.ndarray, rate: int) -> Iterator[np.ndarray]:
        if self.windows is None:
            yield wave
            return
        size, hop = round(self.windows.seconds * rate), round(self.windows.hop * rate)
        ends = {
            "first": 1,
            "whole": len(wave) - size + 1,
            "hop": len(wave) - hop,
            "every": len(wave),
        }
        for start in range(0, max(1, ends[self.windows.starts]), hop):
            part = wave[start : start + size]
            if self.windows.fill == "repeat" and len(part):
                part = np.tile(part, size // len(part))
            yield np.pad(part, (0, size - len(part)))


def _as_file(wave: np.ndarray, rate: int) -> np.ndarray:
    """A waveform after a WAV file of 16 bits, as libsndfile writes one."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="PCM_16")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _as_clap(wave: np.ndarray, rate: int) -> np.ndarray:
    """``int16(clip(x) * 32767) / 32767``, cut towards 0."""
    del rate
    return np.trunc(np.clip(wave, -1, 1) * np.float32(32767)) / np.float32(32767)


_ROUNDED = {"file": _as_file, "clap": _as_clap}
