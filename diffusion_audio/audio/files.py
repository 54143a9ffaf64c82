"""Audio files: check the header, decode, mix to mono, resample; write without wrap.

libsndfile takes truncated WAV files, a thousand channels, NaN samples and
compressed silence of any length without complaint, so the checks are here, and
those that can be are made before it sees the file.
"""

import dataclasses
import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from diffusion_audio.errors import UserError

RATES = (4_000, 192_000)  # Hz
MAX_CHANNELS = 8
MAX_SECONDS = 1800.0  # of one clip decoded whole: 89 kB of FLAC can be 115 MB
BLOCK = 1 << 18  # frames decoded at a time: memory follows the data, not the header
PRE_ROLL = 8 * 1152  # frames decoded and dropped: MP3 is silent for 3 after a seek

# What libsndfile may be asked to parse. IMA and MS ADPCM, and its older formats,
# are left out: they are where most of its memory errors were found.
WAV_CODES = {1: "PCM", 3: "FLOAT", 6: "ALAW", 7: "ULAW"}
WAV_EXTENSIBLE = 0xFFFE
# A data size that says "unknown": what ffmpeg and sox write into a pipe (sox rounds
# its value down to whole sample frames).
UNKNOWN_SIZES = (0xFFFFFFFF, *range(0x7FFFF000 - 64, 0x7FFFF001))


class AudioFileError(UserError):
    """An audio file that cannot be used.

    Attributes:
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"`` or ``"too-long"``.
    """

    def __init__(self, kind: str, path: str | os.PathLike[str], problem: str):
        self.kind = kind
        super().__init__(f"{str(path)!r}: {problem}")


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
        wave = _decode(path, file, start, wanted)
    # The length of an MP3 without an index is an estimate, so a little may lack.
    if len(wave) < wanted * (0.95 if info.format.startswith("MP3") else 1):
        raise AudioFileError(
            "truncated",
            path,
            f"ends after {(start + len(wave)) / info.sample_rate:.2f} s of the "
            f"{info.seconds:.2f} s its header promises: cut off, or damaged there",
        )
    if info.sample_rate != sample_rate:
        wave = soxr.resample(wave, info.sample_rate, sample_rate, quality="HQ")
    if max_seconds is not None:
        wave = wave[: max(1, round(max_seconds * sample_rate))]
    if not len(wave):
        raise AudioFileError("empty", path, "too short to make one sample")
    return wave


def write(path: str | os.PathLike[str], wave: np.ndarray, sample_rate: int) -> None:
    """Writes mono audio as 16-bit WAV or FLAC, by the suffix.

    Samples beyond full scale are clipped, never wrapped. The file appears complete
    or not at all.

    Args:
        path: where to; its directory must exist.
        wave: [N] floats, full scale 1.
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
    wave = np.asarray(wave)
    if wave.ndim != 1 or not wave.size:
        raise UserError(f"{str(path)!r}: expected samples [N], got shape {wave.shape}")
    if not np.isfinite(wave).all():
        raise AudioFileError("non-finite", path, "will not write NaN or infinity")
    _check_rate(path, sample_rate)
    scaled = np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767)
    samples, coding = scaled.astype(np.int16), formats[path.suffix.lower()]
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate, "PCM_16", format=coding)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(encoded.getbuffer())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: str | os.PathLike[str]) -> soundfile.SoundFile:
    """Opens a file that has passed every check its header allows."""
    path = Path(path)
    if not path.exists():
        raise AudioFileError("missing", path, "no such file")
    try:
        with path.open("rb") as raw:
            _sniff(path, raw)
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
) -> np.ndarray:
    """Up to ``wanted`` frames from ``start`` as mono; fewer where decoding stops."""
    blocks: list[np.ndarray] = []
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
            blocks.append(block.mean(axis=1))
            wanted -= len(block)
    except soundfile.SoundFileError:
        pass  # the caller sees that samples lack and says where
    return np.concatenate(blocks or [np.zeros(0, np.float32)])[lead:]


def _sniff(path: Path, raw: BinaryIO) -> None:
    """Refuses what is not one of the known formats, by its first bytes."""
    size = os.fstat(raw.fileno()).st_size
    head = raw.read(12)
    if not head:
        raise AudioFileError("empty", path, "holds no bytes")
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        _check_wav(path, raw, size)
    elif head[:4] == b"OggS":
        _check_ogg(path, raw, size)
    elif not (
        head[:4] == b"fLaC"
        or head[:3] == b"ID3"
        or (head[0] == 0xFF and head[1:2] >= b"\xe0")
    ):
        raise AudioFileError("unreadable", path, "not a WAV, FLAC, OGG or MP3 file")


def _check_wav(path: Path, raw: BinaryIO, size: int) -> None:
    """Refuses a WAV whose data chunk is longer than the file, or oddly coded."""
    position, long_size, code = 12, 0, 0
    for _ in range(1000):  # chunks: a header of empty ones must not take for ever
        raw.seek(position)
        head = raw.read(8)
        if len(head) < 8:
            raise AudioFileError("truncated", path, "ends before its samples: cut off")
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data":
            if code not in WAV_CODES:
                raise AudioFileError(
                    "unreadable",
                    path,
                    f"WAV coding {code} is not supported: convert it to PCM",
                )
            declared = long_size if long_size and length == 0xFFFFFFFF else length
            there = size - position - 8
            if declared > there and declared not in UNKNOWN_SIZES:
                raise AudioFileError(
                    "truncated",
                    path,
                    f"its header promises {declared} bytes of samples, it has {there}",
                )
            return
        if name == b"ds64":
            long_size = int.from_bytes(raw.read(16)[8:], "little")
        if name == b"fmt ":
            body = raw.read(26)
            code = int.from_bytes(body[:2], "little")
            if code == WAV_EXTENSIBLE:
                code = int.from_bytes(body[24:26], "little")
        position += 8 + length + length % 2
    raise AudioFileError("unreadable", path, "a thousand chunks and no samples")


def _check_ogg(path: Path, raw: BinaryIO, size: int) -> None:
    """Refuses an OGG that ends within a page: libsndfile would just stop before."""
    start = max(0, size - 2 * 65307)  # a page has at most 65307 bytes
    raw.seek(start)
    tail = raw.read()
    page = tail.rfind(b"OggS")
    segments = tail[page + 26 : page + 27]
    lengths = tail[page + 27 : page + 27 + sum(segments)]
    if page < 0 or not segments or len(tail) < page + 27 + len(lengths) + sum(lengths):
        raise AudioFileError("truncated", path, "ends within a page: cut off")
