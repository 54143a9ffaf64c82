"""Whether numbers can be log-mels of a spec, as its floor and full scale bound them."""

import math
import os

import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel import hann_window, mel_triangles
from diffusion_audio.audio.spec import AudioSpec

SLACK = 3.0  # beyond what audio can give, in nepers: a model's mels overshoot a little


def log_floor(spec: AudioSpec) -> float:
    """The log-mel of silence."""
    return _log(spec, spec.floor)


def log_ceiling(spec: AudioSpec) -> float:
    """A bound that no log-mel of a full-scale waveform exceeds."""
    most = mel_triangles(spec).sum(axis=1).max()
    return _log(spec, most * hann_window(spec.n_fft, spec.win_length).sum())


def require_log_mel(
    path: str | os.PathLike[str], spec: AudioSpec, low: float, high: float
) -> str:
    """Refuses values that are no log-mels of a spec.

    Args:
        path: of the file, for messages.
        spec: what they should be log-mels of.
        low: the least of the values.
        high: the greatest.

    Returns:
        What is suspicious but not certain, in one line; empty where nothing is.

    Raises:
        AudioFileError: of kind ``"range"``.
    """
    floor, ceiling = log_floor(spec), log_ceiling(spec)
    slack = SLACK / (1 if spec.log == "ln" else math.log(10))
    has = f"values from {low:.4g} to {high:.4g}"
    wanted = (
        f"expected log-mels ({spec.log} of magnitude, from {floor:.4g} in silence to "
        f"at most {ceiling:.4g})"
    )
    if low >= 0 > floor:
        raise AudioFileError(
            "range", path, f"{has}: {wanted}; magnitudes before the logarithm?"
        )
    if low < floor - slack or high > ceiling + slack:
        raise AudioFileError(
            "range", path, f"{has}: {wanted}; decibels, or of another logarithm?"
        )
    if floor < -2 * SLACK and low > floor / 2:
        return (
            f"{str(path)!r}: {has}, nowhere near silence: {wanted}; normalised, or of "
            "another logarithm?"
        )
    return ""


def value_range(mel: np.ndarray, frames: int = 4096) -> tuple[float, float]:
    """Least and greatest of [T, F], some frames at a time; NaN where one is."""
    parts = [mel[start : start + frames] for start in range(0, len(mel), frames)]
    return (
        float(np.min([part.min() for part in parts])),
        float(np.max([part.max() for part in parts])),
    )


def _log(spec: AudioSpec, value: float) -> float:
    return math.log(value) if spec.log == "ln" else math.log10(value)
