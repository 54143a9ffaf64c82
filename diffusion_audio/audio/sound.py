"""The sound of a file: how long it truly is, and any part of it decoded."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile

from diffusion_audio.audio import mp3
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.headers import sound_of
from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.raw import RawFile, Window, open_raw

RATES = (4_000, 192_000)  # Hz
MAX_CHANNELS = 8
PRE_ROLL = 8 * 1152  # frames decoded and dropped: what lossy coders need after a seek
KNOWN = 1 << 14  # files whose lengths are remembered
COUNTED = 1 << 12  # samples decoded at a time to count them
UNCOUNTED = 1 << 48  # frames; as many stand for a length that is not known


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What an audio file holds.

    Attributes:
        sample_rate: samples a second, Hz.
        channels: number of channels.
        frames: samples of each channel, as many as decoding gives.
        format: container and coding, such as ``"WAV PCM_16"``.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str

    @property
    def seconds(self) -> float:
        """Length, s."""
        return self.frames / self.sample_rate


class Sound(NamedTuple):
    """An open file and what is known of it. Made by `open_sound`."""

    data: RawFile
    info: AudioInfo
    parts: tuple[Part, ...] | mp3.Mp3

    def decode(self, start: int, stop: int, block: int) -> Iterator[np.ndarray]:
        """The samples ``start .. stop``, about ``block`` at a time.

        Yields:
            [n, C] float32; fewer than asked for where decoding fails.
        """
        if isinstance(self.parts, mp3.Mp3):
            yield from mp3.decode(self.data, self.parts, start, stop, block)
            return
        for part in self.parts:
            frames = part.frames or 0
            first, last = max(0, start), min(frames, stop)
            if first < last:
                got = 0
                for wave in _decode_part(self.data, part, first, last, block):
                    got += len(wave)
                    yield wave
                if got < last - first:
                    return
            start, stop = start - frames, stop - frames


@contextlib.contextmanager
def open_sound(path: str | os.PathLike[str]) -> Iterator[Sound]:
    """Opens a file that has passed every check that needs no decoding.

    Raises:
        AudioFileError: see its kinds; never another error of what the file holds.
    """
    with open_raw(path) as (data, found):
        name, version = os.path.abspath(path), (found.st_size, found.st_mtime_ns)
        known = _known(name, version, found.st_ino)
        if not known:
            known.append(_look(data))
        yield Sound(data, *known[0])


@functools.lru_cache(maxsize=KNOWN)
def _known(
    name: str, version: tuple[int, int], number: int
) -> list[tuple[AudioInfo, tuple[Part, ...] | mp3.Mp3]]:
    """What was found out about a file as it is now: a place for it, empty at first."""
    return []


def _look(data: RawFile) -> tuple[AudioInfo, tuple[Part, ...] | mp3.Mp3]:
    parts = sound_of(data)
    if isinstance(parts, mp3.Mp3):
        first = parts.first
        info = AudioInfo(
            first.sample_rate, first.channels, parts.frames, "MP3 MPEG_LAYER_III"
        )
        check_rate(data.path, info.sample_rate)
    else:
        looked = [_look_at_part(data, part) for part in parts]
        infos = [info for info, _ in looked]
        info = infos[0]
        for other in infos[1:]:
            if (other.sample_rate, other.channels) != (info.sample_rate, info.channels):
                raise data.error(
                    "unreadable",
                    f"joined of sounds of different kinds: {info.sample_rate} Hz x "
                    f"{info.channels} and {other.sample_rate} Hz x {other.channels}; "
                    "cut it into files of one kind",
                )
        parts = tuple(part for _, part in looked)
        info = dataclasses.replace(info, frames=sum(one.frames for one in infos))
    if info.frames < 1:
        raise data.error("empty", "holds no samples")
    return info, parts


def _look_at_part(data: RawFile, part: Part) -> tuple[AudioInfo, Part]:
    """The part with its length, as its header has it and counting agrees."""
    with _open_part(data, part) as file:
        check_rate(data.path, file.samplerate)
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise data.error(
                "channels",
                f"{file.channels} channels, at most {MAX_CHANNELS} are allowed",
            )
        frames = file.frames
        if frames >= UNCOUNTED:
            frames = sum(map(len, _blocks(file, UNCOUNTED, COUNTED)))
        if part.frames is not None and frames != part.frames:
            raise data.error(
                "unreadable",
                f"its header contradicts itself: {frames} samples or {part.frames}; "
                "convert it with what wrote it",
            )
        kind = f"{file.format} {file.subtype}"
        info = AudioInfo(file.samplerate, file.channels, frames, kind)
    return info, dataclasses.replace(part, frames=frames)


def _open_part(data: RawFile, part: Part) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(Window(data, part.start, part.stop, part.head))
    except (soundfile.SoundFileError, OverflowError, ValueError, TypeError) as error:
        reason = "damaged, or not the format it claims to be"
        raise data.error("unreadable", reason) from error


def _decode_part(
    data: RawFile, part: Part, start: int, stop: int, size: int
) -> Iterator[np.ndarray]:
    lead = min(start, PRE_ROLL)
    with _open_part(data, part) as file:
        try:
            file.seek(start - lead)
        except soundfile.SoundFileError:
            return  # the caller sees that samples lack and says where
        for block in _blocks(file, stop - start + lead, size):
            yield block[lead:]
            lead = max(0, lead - len(block))


def _blocks(file: soundfile.SoundFile, wanted: int, size: int) -> Iterator[np.ndarray]:
    """Up to ``wanted`` frames; fewer where decoding stops."""
    try:
        while wanted > 0:
            block = file.read(min(wanted, size), dtype="float32", always_2d=True)
            if not len(block):
                return
            wanted -= len(block)
            yield block
    except soundfile.SoundFileError:
        return


def check_rate(path: str | os.PathLike[str], sample_rate: int) -> None:
    """Refuses a sample rate that no sound has.

    Raises:
        AudioFileError: ``"rate"``.
    """
    low, high = RATES
    if not low <= sample_rate <= high:
        raise AudioFileError(
            "rate", path, f"sample rate {sample_rate} Hz is not within {low}..{high} Hz"
        )
