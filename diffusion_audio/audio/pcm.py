"""Containers of plain samples: WAV, RF64, W64, AIFF, AU and CAF.

libsndfile takes a file that was cut off for a whole one, and leaves out what lies
behind the size that its header has; so chunks are walked here. IMA and MS ADPCM, GSM
and the like stay out: they are where most of libsndfile's memory errors were found.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.raw import RawFile

ByteOrder = Literal["big", "little"]
CHUNKS = 1000  # of a file, at most: a header of empty ones must not take for ever
LONGEST_HEADER = 1 << 20  # bytes that may be put in its place
WAV_CODES = {1: "PCM", 3: "FLOAT", 6: "ALAW", 7: "ULAW"}
WAV_EXTENSIBLE = 0xFFFE
WAV_NAMES = {"2": "MS ADPCM", "17": "IMA ADPCM", "49": "GSM", "80": "MPEG", "85": "MP3"}
# Data sizes that say "unknown", as programs write them into a pipe: ffmpeg, arecord,
# sox (which rounds its value down to whole sample frames).
UNKNOWN_SIZES = (
    range(0xFFFFF000, 1 << 32),
    range(0x7FFFFF00, 0x7FFFFF01),
    range(0x7FFFF000 - 64, 0x7FFFF001),
)
AIFF_CODES = (
    *(b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"42ni", b"23ni"),
    *(b"fl32", b"FL32", b"fl64", b"FL64", b"ulaw", b"ULAW", b"alaw", b"ALAW"),
)
AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by code
CAF_CODES = (b"lpcm", b"ulaw", b"alaw")
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
# What follows the samples in files of others, so a cut-off one is no sound.
KNOWN_CHUNKS = (
    *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"inst", b"PEAK"),
    *(b"iXML", b"axml", b"cart", b"JUNK", b"junk", b"PAD ", b"fact", b"afsp"),
)


class _Chunk(NamedTuple):
    name: bytes
    begin: int
    length: int
    stop: int  # where the next begins


def wav_part(data: RawFile, start: int) -> Part:
    """A WAV or RF64 file, up to the end of its last chunk.

    Raises:
        AudioFileError: ``"truncated"`` if the samples are fewer than the header says,
            ``"unreadable"`` for codings left out and for samples it does not count.
    """
    long_size, code, align = 0, 0, 0
    for chunk in _riff_chunks(data, start + 12, "little"):
        if chunk.name == b"ds64":
            long_size = int.from_bytes(
                data[chunk.begin + 8 : chunk.begin + 16], "little"
            )
        if chunk.name == b"fmt ":
            body = data[chunk.begin : chunk.begin + 26]
            code = int.from_bytes(body[:2], "little")
            align = int.from_bytes(body[12:14], "little")
            if code == WAV_EXTENSIBLE:
                code = int.from_bytes(body[24:26], "little")
        if chunk.name == b"data":
            break
    else:
        raise data.error("truncated", "ends before its samples: cut off")
    _require_code(data, "WAV", str(code), code in WAV_CODES)
    length, there = chunk.length, len(data) - chunk.begin
    if long_size and length == 0xFFFFFFFF:
        length = long_size
    elif length > there and any(length in sizes for sizes in UNKNOWN_SIZES):
        return Part(start, len(data), frames=_whole(data, there, align))
    stop = _after_samples(data, chunk.begin, length)
    if length == 0 and stop < len(data):
        # Written into a pipe that could not be gone back in: all that follows.
        return _counted_wav(data, start, chunk.begin, align)
    return Part(start, stop, frames=_whole(data, length, align))


def _counted_wav(data: RawFile, start: int, begin: int, align: int) -> Part:
    """The WAV with the size of its samples put where there is 0."""
    there = len(data) - begin
    head = bytearray(_header(data, start, begin))
    head[4:8] = min(0xFFFFFFFF, there + len(head) - 8).to_bytes(4, "little")
    head[-4:] = min(0xFFFFFFFF, there).to_bytes(4, "little")
    return Part(start, len(data), bytes(head), _whole(data, there, align))


def w64_part(data: RawFile, start: int) -> Part:
    """As `wav_part`, of Sony's format with 64-bit sizes."""
    position, code, align = start + 40, 0, 0
    for _ in range(CHUNKS):
        head = data[position : position + 24]
        if len(head) < 24:
            break
        length = int.from_bytes(head[16:24], "little") - 24
        if length < 0:
            raise data.error("unreadable", f"a chunk of no size at byte {position}")
        begin = position + 24
        if head[:4] == b"fmt ":
            body = data[begin : begin + 26]
            code = int.from_bytes(body[:2], "little")
            align = int.from_bytes(body[12:14], "little")
            if code == WAV_EXTENSIBLE:
                code = int.from_bytes(body[24:26], "little")
        if head[:4] == b"data":
            _require_code(data, "W64", str(code), code in WAV_CODES)
            _require_there(data, begin, length)
            stop = _skip_w64_chunks(data, begin + length + -length % 8)
            return Part(start, stop, frames=_whole(data, length, align))
        position = begin + length + -length % 8
    raise data.error("truncated", "ends before its samples: cut off")


def _skip_w64_chunks(data: RawFile, position: int) -> int:
    for _ in range(CHUNKS):
        head = data[position : position + 24]
        length = int.from_bytes(head[16:24], "little")
        if head[4:16] != W64_TAIL or not 24 <= length <= len(data) - position:
            break
        position += length + -length % 8
    return min(position, len(data))


def aiff_part(data: RawFile, start: int) -> Part:
    """An AIFF or AIFF-C file, up to the end of its last chunk; raises as `wav_part`."""
    declared = align = 0
    sound = None
    stop = start + 12
    for chunk in _riff_chunks(data, start + 12, "big"):
        if chunk.name in (b"FORM", b"RIFF") or not _is_name(chunk.name):
            break
        if chunk.name == b"COMM":
            body = data[chunk.begin : chunk.begin + 22]
            channels, bits = (int.from_bytes(body[i : i + 2], "big") for i in (0, 6))
            declared, align = int.from_bytes(body[2:6], "big"), channels * -(-bits // 8)
            code = body[18:22] if data[start + 8 : start + 12] == b"AIFC" else b"NONE"
            _require_code(data, "AIFF", _text(code), code in AIFF_CODES)
        if chunk.name == b"SSND":
            _require_there(data, chunk.begin, chunk.length)
            skip = int.from_bytes(data[chunk.begin : chunk.begin + 4], "big")
            sound = max(0, chunk.length - 8 - skip)
        stop = min(chunk.stop, len(data))
    if sound is None or not align:
        raise data.error("truncated", "ends before its samples: cut off")
    held = _whole(data, sound, align)
    if held != declared:
        raise data.error(
            "truncated" if held < declared else "unreadable",
            f"its header promises {declared} samples, and its sound chunk holds {held}"
            ": cut off or damaged; convert it to WAV or FLAC with what wrote it",
        )
    return Part(start, stop, frames=held)


def au_part(data: RawFile, start: int) -> Part:
    """A Sun or NeXT file; raises as `wav_part`."""
    head = data[start : start + 24]
    if len(head) < 24:
        raise data.error("truncated", "ends within its header: cut off")
    order: ByteOrder = "big" if head[:4] == b".snd" else "little"
    begin, length, code, _, channels = (
        int.from_bytes(head[i : i + 4], order) for i in (4, 8, 12, 16, 20)
    )
    _require_code(data, "AU", str(code), code in AU_BYTES)
    begin += start
    if length == 0xFFFFFFFF:
        length = max(0, len(data) - begin)
    _require_there(data, begin, length)
    stop = begin + length
    return Part(start, stop, frames=_whole(data, length, channels * AU_BYTES[code]))


def caf_part(data: RawFile, start: int) -> Part:
    """An Apple Core Audio file; raises as `wav_part`."""
    position, align, code = start + 8, 0, b""
    for _ in range(CHUNKS):
        head = data[position : position + 12]
        if len(head) < 12:
            break
        name, length = head[:4], int.from_bytes(head[4:], "big", signed=True)
        begin = position + 12
        if name == b"desc":
            body = data[begin : begin + 32]
            code, align = body[8:12], int.from_bytes(body[16:20], "big")
        if name == b"data":
            _require_code(data, "CAF", _text(code), code in CAF_CODES)
            mended = b""
            if length == -1:  # written into a pipe; libsndfile wants a number
                length = len(data) - begin
                mended = _header(data, start, begin)[:-8] + length.to_bytes(8, "big")
            _require_there(data, begin, length)
            stop = _skip_caf_chunks(data, begin + length)
            return Part(start, stop, mended, _whole(data, length - 4, align))
        if length < 0:
            raise data.error("unreadable", f"a chunk of no size at byte {position}")
        position = begin + length
    raise data.error("truncated", "ends before its samples: cut off")


def _skip_caf_chunks(data: RawFile, position: int) -> int:
    for _ in range(CHUNKS):
        head = data[position : position + 12]
        length = int.from_bytes(head[4:], "big", signed=True)
        if not _is_name(head[:4]) or not 0 <= length <= len(data) - position - 12:
            break
        position += 12 + length
    return position


def _riff_chunks(data: RawFile, position: int, order: ByteOrder) -> Iterator[_Chunk]:
    for _ in range(CHUNKS):
        head = data[position : position + 8]
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], order)
        stop = position + 8 + length + length % 2
        yield _Chunk(head[:4], position + 8, length, stop)
        position = stop
    raise data.error("unreadable", "a thousand chunks and no samples")


def _after_samples(data: RawFile, begin: int, length: int) -> int:
    """Where the chunks end that follow the samples of a RIFF; all must be there."""
    _require_there(data, begin, length)
    for position in (begin + length + length % 2, begin + length):  # some do not pad
        for chunk in _riff_chunks(data, position, "little"):
            if chunk.name in (b"RIFF", b"RF64", b"data") or not _is_name(chunk.name):
                break
            if chunk.stop > len(data) + 1 and chunk.name not in KNOWN_CHUNKS:
                break
            position = min(chunk.stop, len(data))
        if position >= len(data) or data[position : position + 4] in (b"RIFF", b"RF64"):
            break
    return min(position, len(data))


def _header(data: RawFile, start: int, begin: int) -> bytes:
    if begin - start > LONGEST_HEADER:
        raise data.error("unreadable", "a header of more than a megabyte")
    return data[start:begin]


def _require_there(data: RawFile, begin: int, length: int) -> None:
    there = max(0, len(data) - begin)
    if length > there:
        raise data.error(
            "truncated",
            f"its header promises {length} bytes of samples, it has {there}",
        )


def _require_code(data: RawFile, container: str, name: str, known: bool) -> None:
    if not known:
        meaning = f"it is {WAV_NAMES[name]}; " if name in WAV_NAMES else ""
        raise data.error(
            "unreadable",
            f"{container} coding {name} is not supported: {meaning}convert it to PCM "
            "(only PCM, float, A-law and mu-law are read, for safety)",
        )


def _whole(data: RawFile, length: int, align: int) -> int:
    """Samples of each channel in so many bytes."""
    if not align:
        raise data.error("unreadable", "its header gives a sample no size: damaged")
    return max(0, length) // align


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _text(code: bytes) -> str:
    return repr(code.decode("latin-1").strip())
