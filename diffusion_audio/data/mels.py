"""Recordings paired with saved mels: what another model predicted for each of them.

The mel of ``speakers/ann/7.wav`` is ``DIR/speakers/ann/7.npy``. Frame t of a mel stands
for the samples t * hop ... (t + 1) * hop of its recording, so a crop is some frames and
exactly those samples.
"""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion_audio.audio import files
from diffusion_audio.audio.decoders import Decode, here
from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.audio.mel import mel_filterbank
from diffusion_audio.audio.mel_files import finite, open_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.folder import FolderSource
from diffusion_audio.data.inventory import inventory_hash
from diffusion_audio.data.listing import Entry
from diffusion_audio.data.source import Clip, crop_or_pad

FILTER = 512  # samples beside a part to be resampled that its own samples depend on


class Pair(NamedTuple):
    """A clip and its mel.

    Attributes:
        place: number of the clip in its source.
        mel: where the mel is.
        frames: T that both the mel and the recording have.
        rate: of the recording, Hz.
        excess: frames of the mel beyond whole hops of the recording.
        hop: samples of the recording, at the spec's rate, for each frame of the mel.
        problem: why the pair cannot be used, or None.
    """

    place: int
    mel: Path
    frames: int = 0
    rate: int = 0
    excess: int = 0
    hop: float = 0.0
    problem: AudioFileError | None = None


class MelSource:
    """Clips with ``mel`` float32 [T, F] beside ``audio`` [T * hop]; see `mel_pairs`."""

    def __init__(
        self, source: FolderSource, pairs: list[Pair], spec: AudioSpec, axes: str
    ):
        self.name = f"{source.name} with saved mels"
        self.attributes = source.attributes
        self.pairs = pairs
        self._source = source
        self._spec = spec
        self._axes = axes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Clip:
        """The frames that mel and recording both have."""
        clip = self.describe(index)
        return self._crop(index, 0, self._good(index).frames) | clip

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """Some frames and their samples, and a caption, all chosen by ``rng``.

        Past the end of a clip that is too short there is silence, in both.
        """
        # Drawn before the files are touched: what they hold moves no other choice.
        position = rng.random()
        clip = self.describe(index, rng)
        frames = samples // self._spec.hop_length
        spare = max(0, self._good(index).frames - frames)
        return self._crop(index, int(position * (spare + 1)), frames) | clip

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its audio and mel."""
        return self._source.describe(self.pairs[index].place, rng)

    def captions(self) -> list[str]:
        """Every caption of the clips that have a mel."""
        entries = (self._entry(index) for index in range(len(self)))
        return [caption for entry in entries for caption in entry.captions]

    def fingerprint(self) -> str:
        """Hash of the inventory."""
        return inventory_hash(self.inventory())

    def inventory(self) -> dict[str, str]:
        """A short hash of each clip of the source and all of its mel, by the id."""
        clips = self._source.inventory()

        def both(index: int) -> tuple[str, str]:
            name = self._entry(index).name
            said = clips[name] + _digest(self.pairs[index].mel)
            return name, hashlib.sha256(said.encode()).hexdigest()[:16]

        with ThreadPoolExecutor() as pool:
            return dict(pool.map(both, range(len(self))))

    def _entry(self, index: int) -> Entry:
        return self._source.entries[self.pairs[index].place]

    def _good(self, index: int) -> Pair:
        pair = self.pairs[index]
        if pair.problem is not None:
            raise pair.problem.with_traceback(None)  # or it grows each time
        return pair

    def _crop(self, index: int, start: int, frames: int) -> Clip:
        """``frames`` frames from ``start``, and the same samples."""
        pair, hop = self._good(index), self._spec.hop_length
        there = min(frames, pair.frames - start)
        whole = open_mel(pair.mel, self._spec.n_mels, self._axes)
        mel = finite(pair.mel, whole[start : start + there])
        audio = excerpt(
            self._entry(index).path,
            pair.rate,
            self._spec.sample_rate,
            start * hop,
            there * hop,
            self._source.decode,
        )
        quiet = np.broadcast_to(_silence(self._spec), (frames, self._spec.n_mels))
        return {
            "audio": crop_or_pad(audio, frames * hop, 0.0),
            "mel": np.concatenate([mel, quiet[len(mel) :]]),
        }


def excerpt(
    path: Path,
    file_rate: int,
    rate: int,
    start: int,
    samples: int,
    decode: Decode = here,
) -> np.ndarray:
    """A part of a recording, to the sample as if all of it had been resampled.

    Args:
        path: an audio file.
        file_rate: its rate, Hz.
        rate: of the result, Hz.
        start: first sample, at ``rate``.
        samples: N, at ``rate``.
        decode: how the file is decoded.

    Returns:
        [N] float32; zeros past the end of the file.
    """
    margin, step = 0, 1
    if file_rate != rate:
        margin = math.ceil(FILTER * max(1, rate / file_rate))
        step = rate // math.gcd(rate, file_rate)  # where both rates have a sample
    begin = max(0, (start - margin) // step * step)
    wave = decode(
        files.read,
        path,
        rate,
        offset=begin / rate,
        max_seconds=(start - begin + samples + margin) / rate,
    )
    return crop_or_pad(wave[start - begin :], samples, 0.0)


def _silence(spec: AudioSpec) -> np.ndarray:
    """[F] float32: the log-mel of digital silence."""
    magnitude = math.sqrt(spec.power_eps) * mel_filterbank(spec).sum(axis=1)
    log = np.log if spec.log == "ln" else np.log10
    return log(np.maximum(magnitude, spec.floor)).astype(np.float32)


def _digest(path: Path) -> str:
    """Short hash of a file's content; of nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return ""
