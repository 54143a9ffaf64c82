"""Audio files: check the header, decode, mix to mono, resample; write without wrap.

libsndfile takes a thousand channels, NaN samples and compressed silence of any length
without complaint, so the checks are here, and those that can be are made before it
sees the file.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from diffusion_audio.audio.headers import AudioFileError as AudioFileError
from diffusion_audio.audio.headers import sniff
from diffusion_audio.errors import UserError

RATES = (4_000, 192_000)  # Hz
MAX_CHANNELS = 8
MAX_SECONDS = 1800.0  # of one clip decoded whole: 89 kB of FLAC can be 115 MB
BLOCK = 1 << 18  # frames decoded at a time: memory follows the data, not the header
PRE_ROLL = 8 * 1152  # frames decoded and dropped: MP3 is silent for 3 after a seek


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        sample_rate: samples a second, Hz.
        channels: number of channels.
        frames: samples of each channel; an estimate for some MP3 files.
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


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Checks a file's header, without decoding it.

    Raises:
        AudioFileError: if the file is missing, empty, of an unknown format, cut off
            in a way that the header shows, or has an absurd rate or channel count.
    """
    with _open(path) as file:
        return _info(file)


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
        path: a WAV, FLAC, OGG (Vorbis, Opus) or MP3 file.
        sample_rate: rate of the result, Hz.
        offset: where to begin, s.
        max_seconds: length to stop at, s; ``None`` reads to the end.

    Returns:
        [N] float32, finite, at least one sample; full scale is 1.

    Raises:
        AudioFileError: as ``probe``; also if the file ends before its header says,
            holds NaN or infinity, or is longer than ``MAX_SECONDS`` to be decoded.
    """
    with _open(path) as file:
        info = _info(file)
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
        if wanted > MAX_SECONDS * info.sample_rate:
            raise AudioFileError(
                "too-long",
                path,
                f"{wanted / info.sample_rate:.0f} s to decode, at most "
                f"{MAX_SECONDS:.0f} s are allowed: read a part of it, or cut the file",
            )
        wave = np.concatenate(
            [np.zeros(0, np.float32), *_decode(path, file, start, wanted)]
        )
    _require_whole(path, info, start, len(wave), wanted)
    if info.sample_rate != sample_rate:
        wave = soxr.resample(wave, info.sample_rate, sample_rate, quality="HQ")
    if max_seconds is not None:
        wave = wave[: max(1, round(max_seconds * sample_rate))]
    if not len(wave):
        raise AudioFileError("empty", path, "too short to make one sample")
    return wave


def blocks(path: str | os.PathLike[str], sample_rate: int) -> Iterator[np.ndarray]:
    """As `read`, block by block: a file of any length in bounded memory.

    Yields:
        [n] float32; one after the other they are the whole file.

    Raises:
        AudioFileError: as ``read``, once what cannot be used is reached.
    """
    with _open(path) as file:
        info = _info(file)
        got = made = 0
        stream = soxr.ResampleStream(info.sample_rate, sample_rate, 1, quality="HQ")
        for block in _decode(path, file, 0, info.frames):
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
            f"{str(path)!r}: can write .wav and .flac files, not {path.suffix!r}"
        )
    _check_rate(path, sample_rate)
    coding = formats[path.suffix.lower()]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()  # says why not, where libsndfile does not
        name = os.fsencode(temporary)  # soundfile itself takes no name that is no text
        with soundfile.SoundFile(
            name, "w", sample_rate, 1, subtype="PCM_16", format=coding
        ) as file:
            for wave in waves:
                file.write(_pcm(path, np.asarray(wave)))
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise UserError(f"cannot write {str(path)!r}: is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def _pcm(path: Path, wave: np.ndarray) -> np.ndarray:
    """Samples as 16-bit integers."""
    if wave.ndim != 1 or not wave.size:
        raise UserError(f"{str(path)!r}: expected samples [N], got shape {wave.shape}")
    if not np.isfinite(wave).all():
        raise AudioFileError("non-finite", path, "will not write NaN or infinity")
    return np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767).astype(np.int16)


def _open(path: str | os.PathLike[str]) -> soundfile.SoundFile:
    """Opens a file that has passed every check its header allows."""
    path = Path(path)
    if not path.exists():
        raise AudioFileError("missing", path, "no such file")
    try:
        with path.open("rb") as raw:
            sniff(path, raw)
        file = soundfile.SoundFile(path)
    except OSError as error:
        raise AudioFileError("unreadable", path, error.strerror or "") from error
    except soundfile.SoundFileError as error:
        reason = "damaged, or not the format it claims to be"
        raise AudioFileError("unreadable", path, reason) from error
    try:
        _check_rate(path, file.samplerate)
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise AudioFileError(
                "channels",
                path,
                f"{file.channels} channels, at most {MAX_CHANNELS} are allowed",
            )
        if file.frames < 1:
            raise AudioFileError("empty", path, "holds no samples")
    except AudioFileError:
        file.close()
        raise
    return file


def _info(file: soundfile.SoundFile) -> AudioInfo:
    kind = f"{file.format} {file.subtype}"
    return AudioInfo(file.samplerate, file.channels, file.frames, kind)


def _check_rate(path: Path, sample_rate: int) -> None:
    low, high = RATES
    if not low <= sample_rate <= high:
        raise AudioFileError(
            "rate", path, f"sample rate {sample_rate} Hz is not within {low}..{high} Hz"
        )


def _decode(
    path: str | os.PathLike[str], file: soundfile.SoundFile, start: int, wanted: int
) -> Iterator[np.ndarray]:
    """Up to ``wanted`` frames from ``start`` as mono; fewer where decoding stops."""
    lead = min(start, PRE_ROLL)
    wanted += lead
    try:
        file.seek(start - lead)
        while wanted > 0:
            block = file.read(min(wanted, BLOCK), dtype="float32", always_2d=True)
            if not len(block):
                break
            if not np.isfinite(block).all():
                raise AudioFileError("non-finite", path, "holds NaN or infinity")
            wanted -= len(block)
            yield block.mean(axis=1)[lead:]
            lead = max(0, lead - len(block))
    except soundfile.SoundFileError:
        pass  # the caller sees that samples lack and says where


def _require_whole(
    path: str | os.PathLike[str], info: AudioInfo, start: int, got: int, wanted: int
) -> None:
    # The length of an MP3 without an index is an estimate, so a little may lack.
    if got < wanted * (0.95 if info.format.startswith("MP3") else 1):
        raise AudioFileError(
            "truncated",
            path,
            f"ends after {(start + got) / info.sample_rate:.2f} s of the "
            f"{info.seconds:.2f} s its header promises: cut off, or damaged there",
        )
