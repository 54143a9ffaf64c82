"""What a recording sounds like, in three values: enough to tell bad ones and copies."""

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from diffusion_audio.audio import files

FULL_SCALE = 0.999
CLIPPED_RUN = 4  # samples at full scale in a row: no recorded wave stays there


class Heard(NamedTuple):
    """What was heard.

    Attributes:
        digest: hash of the samples.
        peak: the largest of them.
        clipped: how many are in runs at full scale.
    """

    digest: str
    peak: float
    clipped: int


def hear(pieces: Iterable[np.ndarray]) -> Heard:
    """Listens to a wave, which comes in pieces [n]."""
    hashed = hashlib.sha256()
    peak, clipped = 0.0, 0
    for wave in pieces:
        # 16 bits, so that a WAV and the FLAC made from it are the same.
        hashed.update(np.round(wave * 32767).astype("<i4").tobytes())
        peak = max(peak, float(np.abs(wave).max(initial=0.0)))
        clipped += _clipped(wave)
    return Heard(hashed.hexdigest(), peak, clipped)


def hear_file(path: str | os.PathLike[str]) -> Heard:
    """Listens to a file of any length, in bounded memory.

    Raises:
        AudioFileError: as `files.blocks`.
    """
    return hear(files.blocks(path, files.probe(path).sample_rate))


def _clipped(wave: np.ndarray) -> int:
    """Samples in runs of ``CLIPPED_RUN`` or more at full scale, of one sign."""
    total = 0
    for loud in (wave >= FULL_SCALE, wave <= -FULL_SCALE):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]])))
        runs = edges[1::2] - edges[::2]
        total += int(runs[runs >= CLIPPED_RUN].sum())
    return total
