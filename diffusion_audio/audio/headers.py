"""What the first bytes of an audio file say, before any decoder sees them.

libsndfile takes truncated WAV files without complaint, and codings in which most of its
memory errors were found; so both are refused here.
"""

import os
from pathlib import Path
from typing import BinaryIO

from diffusion_audio.errors import UserError

# What libsndfile may be asked to parse. IMA and MS ADPCM, and its older formats,
# are left out: they are where most of its memory errors were found.
WAV_CODES = {1: "PCM", 3: "FLOAT", 6: "ALAW", 7: "ULAW"}
WAV_EXTENSIBLE = 0xFFFE
# A data size that says "unknown": what ffmpeg and sox write into a pipe (sox rounds
# its value down to whole sample frames).
UNKNOWN_SIZES = (0xFFFFFFFF, *range(0x7FFFF000 - 64, 0x7FFFF001))


class AudioFileError(UserError):
    """An audio file, or a saved mel, that cannot be used.

    Attributes:
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"`` or ``"too-long"``; of a mel
            also ``"bands"``, ``"order"``, ``"length"`` or ``"range"``.
    """

    def __init__(self, kind: str, path: str | os.PathLike[str], problem: str):
        self.kind = kind
        super().__init__(f"{str(path)!r}: {problem}")


def sniff(path: Path, raw: BinaryIO) -> None:
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
