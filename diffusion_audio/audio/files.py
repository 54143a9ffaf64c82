"""Audio files: check, decode, mix to mono, resample; write without wrap.

libsndfile takes a thousand channels, NaN samples and compressed silence of any length
without complaint, and believes headers; so the checks are here and in `sound`, and
those that can be are made before it sees the file.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from diffusion_audio.audio.file_error import AudioFileError as AudioFileError
from diffusion_audio.audio.file_error import quoted
from diffusion_audio.audio.sound import AudioInfo as AudioInfo
from diffusion_audio.audio.sound import Sound, check_rate, open_sound
from diffusion_audio.errors import UserError
from diffusion_audio.storage import written_whole

BLOCK = 1 << 18  # samples decoded at a time: memory follows the data, not the header
MAX_SECONDS = 1800.0  # of one clip decoded whole: 89 kB of FLAC can be 115 MB
# Endings of the names of files to try; what a file is, its first bytes say.
SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
)


class Recording(NamedTuple):
    """A whole file as it is. Made by `decode`.

    Attributes:
        wave: [N, C] float32, finite, full scale 1.
        sample_rate: Hz.
    """

    wave: np.ndarray
    sample_rate: int


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Checks a file and counts its samples, without decoding it.

    Lengths that headers are known to tell wrongly are counted from the bytes of the
    sound, once for each file as long as it is not changed.

    Raises:
        AudioFileError: if the file is missing, no regular file, empty, of an unknown
            format, cut off, or has an absurd rate or channel count.
    """
    with open_sound(path) as sound:
        return sound.info


def read(
    path: str | os.PathLike[str],
    sample_rate: int,
    *,
    offset: float = 0.0,
    max_seconds: float | None = None,
) -> np.ndarray:
    """Decodes a file to mono at a given rate.

    Channels are averaged; resampling is soxr's high quality.

    Args:
        path: a file of one of the `SUFFIXES`, whatever its name is.
        sample_rate: rate of the result, Hz.
        offset: where to begin, s.
        max_seconds: length to stop at, s; ``None`` reads to the end.

    Returns:
        [N] float32, finite, at least one sample; full scale is 1.

    Raises:
        AudioFileError: as ``probe``; also if the file ends before its header says,
            holds NaN or infinity, or is longer than ``MAX_SECONDS`` to be decoded.
    """
    with open_sound(path) as sound:
        info = sound.info
        start = round(offset * info.sample_rate)
        wanted = info.frames - start
        if wanted <= 0:
            raise AudioFileError(
                "empty",
                path,
                f"nothing to read from {offset:g} s: it is {info.seconds:g} s long",
            )
        if max_seconds is not None:
            wanted = min(wanted, max(1, round(max_seconds * info.sample_rate)))
        _require_short(path, info, wanted)
        wave = np.concatenate(
            [np.zeros(0, np.float32), *_mono(path, sound, start, wanted)]
        )
    _require_whole(path, info, start, len(wave), wanted)
    if info.sample_rate != sample_rate:
        wave = soxr.resample(wave, info.sample_rate, sample_rate, quality="HQ")
    if max_seconds is not None:
        wave = wave[: max(1, round(max_seconds * sample_rate))]
    if not len(wave):
        raise AudioFileError("empty", path, "too short to make one sample")
    return wave


def excerpt(
    path: str | os.PathLike[str], sample_rate: int, samples: int, position: float
) -> np.ndarray:
    """A part of a file, of which no more than that is decoded.

    Args:
        path: as `read`.
        sample_rate: of the result, Hz.
        samples: length N of the part.
        position: where it begins among all places it may have, 0 <= position < 1.

    Returns:
        [N] float32 or, where the file is shorter, all of it.

    Raises:
        AudioFileError: as `read`.
    """
    seconds = samples / sample_rate
    spare = max(0.0, probe(path).seconds - seconds)
    return read(path, sample_rate, offset=position * spare, max_seconds=seconds)


def decode(path: str | os.PathLike[str]) -> Recording:
    """A whole file as it is: its channels apart, at its own rate.

    Raises:
        AudioFileError: as ``read``.
    """
    with open_sound(path) as sound:
        info = sound.info
        _require_short(path, info, info.frames)
        waves = [*_channels(path, sound, 0, info.frames)]
    _require_whole(path, info, 0, sum(map(len, waves)), info.frames)
    return Recording(np.concatenate(waves), info.sample_rate)


def blocks(path: str | os.PathLike[str], sample_rate: int) -> Iterator[np.ndarray]:
    """As `read`, block by block: a file of any length in bounded memory.

    Yields:
        [n] float32; one after the other they are the whole file.

    Raises:
        AudioFileError: as ``read``, once what cannot be used is reached.
    """
    with open_sound(path) as sound:
        info = sound.info
        got = made = 0
        stream = soxr.ResampleStream(info.sample_rate, sample_rate, 1, quality="HQ")
        for block in _mono(path, sound, 0, info.frames):
            got += len(block)
            wave = stream.resample_chunk(block)
            made += len(wave)
            yield wave
        _require_whole(path, info, 0, got, info.frames)
        wave = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        if not made + len(wave):
            raise AudioFileError("empty", path, "too short to make one sample")
        yield wave


def write(path: str | os.PathLike[str], wave: np.ndarray, sample_rate: int) -> None:
    """Writes mono audio as 16-bit WAV or FLAC, by the suffix; see `write_blocks`.

    Args:
        path: where to; its directory must exist.
        wave: [N] floats, full scale 1.
        sample_rate: Hz.

    Raises:
        AudioFileError: if a sample is NaN or infinite, or the rate absurd.
        UserError: for another suffix or shape, or if the file cannot be written.
    """
    write_blocks(path, [wave], sample_rate)


def write_blocks(
    path: str | os.PathLike[str], waves: Iterable[np.ndarray], sample_rate: int
) -> None:
    """Writes the blocks of one waveform as they come.

    Samples beyond full scale are clipped, never wrapped. The file appears complete
    or not at all.

    Args:
        path: where to; its directory must exist.
        waves: [n] floats each, full scale 1.
        sample_rate: Hz.

    Raises:
        AudioFileError: if a sample is NaN or infinite, or the rate absurd.
        UserError: for another suffix or shape, or if the file cannot be written.
    """
    path = Path(path)
    formats = {".wav": "WAV", ".flac": "FLAC"}
    if path.suffix.lower() not in formats:
        raise UserError(
            f"{quoted(path)}: can write .wav and .flac files, not {path.suffix!r}"
        )
    check_rate(path, sample_rate)
    coding = formats[path.suffix.lower()]
    try:
        with written_whole(path) as place:
            name = os.fsencode(place)  # soundfile itself takes no name that is no text
            with soundfile.SoundFile(
                name, "w", sample_rate, 1, subtype="PCM_16", format=coding
            ) as file:
                for wave in waves:
                    file.write(_pcm(path, np.asarray(wave)))
    except OSError as error:
        raise UserError(f"cannot write {quoted(path)}: {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise UserError(f"cannot write {quoted(path)}: is the disk full?") from error


def _pcm(path: Path, wave: np.ndarray) -> np.ndarray:
    """Samples as 16-bit integers."""
    if wave.ndim != 1 or not wave.size:
        raise UserError(f"{quoted(path)}: expected samples [N], got shape {wave.shape}")
    if not np.isfinite(wave).all():
        raise AudioFileError("non-finite", path, "will not write NaN or infinity")
    return np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767).astype(np.int16)


def _mono(
    path: str | os.PathLike[str], sound: Sound, start: int, wanted: int
) -> Iterator[np.ndarray]:
    for block in _channels(path, sound, start, wanted):
        yield block.mean(axis=1)


def _channels(
    path: str | os.PathLike[str], sound: Sound, start: int, wanted: int
) -> Iterator[np.ndarray]:
    """Up to ``wanted`` samples from ``start``; fewer where decoding stops."""
    for block in sound.decode(start, start + wanted, BLOCK):
        if not np.isfinite(block).all():
            raise AudioFileError("non-finite", path, "holds NaN or infinity")
        yield block


def _require_short(path: str | os.PathLike[str], info: AudioInfo, wanted: int) -> None:
    if wanted > MAX_SECONDS * info.sample_rate:
        raise AudioFileError(
            "too-long",
            path,
            f"{wanted / info.sample_rate:.0f} s to decode, at most "
            f"{MAX_SECONDS:.0f} s are allowed: read a part of it, or cut the file",
        )


def _require_whole(
    path: str | os.PathLike[str], info: AudioInfo, start: int, got: int, wanted: int
) -> None:
    if got < wanted:
        raise AudioFileError(
            "truncated",
            path,
            f"ends after {(start + got) / info.sample_rate:.2f} s of the "
            f"{info.seconds:.2f} s its header promises: cut off, or damaged there",
        )
