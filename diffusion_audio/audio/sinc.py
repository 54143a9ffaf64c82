"""Resampling by a windowed sinc, as torchaudio defines it.

Other resamplers sound as well, but metric networks hear the difference: a number that
was made by this one is made again by no other. What need not be made again is
resampled by soxr (`audio.files`).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import signal, special


@dataclass(frozen=True)
class Sinc:
    """The low-pass filter; torchaudio's own settings where none are given.

    Attributes:
        width: zero crossings of the sinc to either side.
        rolloff: where it cuts off, as a share of the lower Nyquist frequency.
        beta: of a Kaiser window; a Hann window where None.
    """

    width: int = 6
    rolloff: float = 0.99
    beta: float | None = None


def resample(
    wave: np.ndarray, sample_rate: int, to: int, sinc: Sinc | None = None
) -> np.ndarray:
    """A waveform at another rate.

    The filter is sampled on the grid of both rates and applied between zeros, so only
    samples that are there are multiplied.

    Args:
        wave: [N].
        sample_rate: of it, Hz.
        to: wanted rate, Hz.
        sinc: the filter.

    Returns:
        float32 [ceil(N to / sample_rate)].
    """
    if sample_rate == to:
        return np.asarray(wave, np.float32)
    sinc = sinc or Sinc()
    common = math.gcd(sample_rate, to)
    down, up = sample_rate // common, to // common
    cutoff = min(down, up) * sinc.rolloff
    reach = math.ceil(sinc.width * down / cutoff) * up  # taps to either side
    t = np.arange(-reach, reach + 1) / (down * up) * cutoff  # in zero crossings
    t = np.clip(t, -sinc.width, sinc.width)
    if sinc.beta is None:
        window = np.cos(t * math.pi / sinc.width / 2) ** 2
    else:
        shape = np.sqrt(1 - (t / sinc.width) ** 2)
        window = special.i0(sinc.beta * shape) / special.i0(sinc.beta)
    taps = np.sinc(t) * window * cutoff / down
    count = -(-len(wave) * up // down)
    # Zeros in front, so that the first output lies on the first sample.
    lead = -reach % down
    taps = np.concatenate([np.zeros(lead), taps])
    made = signal.upfirdn(taps, np.asarray(wave, np.float64), up, down)
    first = (reach + lead) // down
    made = made[first : first + count]
    return np.pad(made, (0, count - len(made))).astype(np.float32)
