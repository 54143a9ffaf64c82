"""FLAC: how long a stream is by its last frame, whatever its header says.

libsndfile believes the header: it ends early where that says too little or another
stream follows, and fails where it says nothing. RFC 9639 has the format.
"""

import functools
from collections import deque
from collections.abc import Iterator

from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.raw import RawFile
from diffusion_audio.audio.tags import before_tags

SIZES = (10, 12), (15, 18)  # bytes that hold the largest block and the largest frame
TOTAL = (18, 26)  # bytes that hold the number of samples, in their last 36 bits
UNCOUNTED = 36  # bits of that number
BLOCKS = 1000  # metadata blocks, at most
TAIL = 1 << 16  # bytes at the end in which the last frame is looked for, at least
LONGEST_TAIL = 1 << 22
LONGEST_SUM = 1 << 20  # bytes that may have to be summed up
ZEROS = 64  # as many at the end fill a block of a disk
SIGNATURES = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")


def flac_part(data: RawFile, start: int) -> Part:
    """The stream that begins at ``start``, up to the next one, or what is none.

    Raises:
        AudioFileError: ``"truncated"`` if it is shorter than its header says or ends
            within a frame; ``"unreadable"`` without a header.
    """
    head = data[start : start + 42]
    if head[:8] not in SIGNATURES or len(head) < 42:
        raise data.error("unreadable", "a FLAC file without its STREAMINFO: damaged")
    first = _first_frame(data, start)
    stop = _next_stream(data, first)
    word = int.from_bytes(head[slice(*TOTAL)], "big")
    declared = word % (1 << UNCOUNTED)
    held, stop = _count(data, head, first, stop, declared)
    if held < declared:
        rate = max(1, word >> 44)
        raise data.error(
            "truncated",
            f"ends after {held / rate:.2f} s of the {declared / rate:.2f} s its header "
            "promises: cut off, or damaged there",
        )
    word += held - declared
    mended = head[: TOTAL[0]] + word.to_bytes(8, "big")
    return Part(start, stop, mended, held)


def _first_frame(data: RawFile, start: int) -> int:
    position = start + 4
    for _ in range(BLOCKS):
        block = data[position : position + 4]
        position += 4 + int.from_bytes(block[1:], "big")
        if len(block) < 4 or position > len(data):
            raise data.error("truncated", "ends before its samples: cut off")
        if block[0] & 0x80:
            return position
    raise data.error("unreadable", "a thousand metadata blocks and no samples")


def _next_stream(data: RawFile, place: int) -> int:
    while (place := data.find(b"fLaC", place)) >= 0:
        if data[place : place + 8] in SIGNATURES:
            return place
        place += 4
    return len(data)


def _count(
    data: RawFile, head: bytes, first: int, stop: int, declared: int
) -> tuple[int, int]:
    """Samples of each channel up to the end of the last frame, and where it ends.

    The last frame is the last header whose frame is whole by its CRC-16, or that ends
    where the file's header says.
    """
    block_size, largest = (int.from_bytes(head[i:j], "big") for i, j in SIZES)
    end = _before_zeros(data, first, before_tags(data, first, stop))
    if end == first:
        return 0, stop
    tail = min(max(TAIL, 2 * largest), LONGEST_TAIL)
    begin = max(first, end - tail)
    frames = data[begin:end]
    summed = 0
    place = len(frames)
    while summed < LONGEST_SUM and (place := frames.rfind(b"\xff", 0, place)) >= 0:
        held = _frame_end(frames[place : place + 16], block_size)
        if held is None:
            continue
        if held == declared:
            extra = _after_frame(frames[place:], largest)
            return held, end - extra if extra else stop
        summed += len(frames) - place
        if _crc16(frames[place:]) == 0:
            return held, stop
    raise data.error("truncated", "ends within a frame: cut off, or damaged there")


def _after_frame(data: bytes, largest: int) -> int:
    """Bytes after the frame that comes first; 0 if they may all be of it."""
    if not 0 < largest < len(data):
        return 0
    sums = enumerate(_crc16_of_all(data[:largest]), start=1)
    return len(data) - max(
        (size for size, value in sums if not value), default=len(data)
    )


def _before_zeros(data: RawFile, first: int, stop: int) -> int:
    end = stop
    while end > first:
        block = data[max(first, end - TAIL) : end]
        kept = len(block.rstrip(b"\0"))
        end -= len(block) - kept
        if kept or not block:
            break
    return end if stop - end >= ZEROS else stop


def _frame_end(head: bytes, block_size: int) -> int | None:
    """The number of the sample after a frame, by its header; ``None`` if it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    number, used = _coded_number(head[4:])
    extra = {6: 1, 7: 2}.get(size_code, 0)
    position = 4 + used + extra
    length = position + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not used or len(head) <= length or _crc8(head[: length + 1]):
        return None
    if extra:
        samples = 1 + int.from_bytes(head[position - extra : position], "big")
    elif size_code == 1:
        samples = 192
    else:
        samples = 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    # Numbers are of samples where block sizes vary, else of frames of one size.
    return (number if head[1] & 1 else number * block_size) + samples


def _coded_number(code: bytes) -> tuple[int, int]:
    """A number written as UTF-8 writes characters, and the bytes it took (0: none)."""
    ones = 8 - (code[0] ^ 0xFF).bit_length()
    if ones == 0:
        return code[0], 1
    if ones == 1 or ones == 8 or len(code) < ones:
        return 0, 0
    number = code[0] & (0x7F >> ones)
    for byte in code[1:ones]:
        if byte >> 6 != 2:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, ones


@functools.cache
def _crc_table(bits: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
        table.append(value)
    return tuple(table)


def _crc8(data: bytes) -> int:
    """0 for a header with its check."""
    value, table = 0, _crc_table(8, 0x07)
    for byte in data:
        value = table[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    """0 for a frame with its check."""
    return deque(_crc16_of_all(data), maxlen=1).pop()


def _crc16_of_all(data: bytes) -> Iterator[int]:
    """The check of the first byte, the first two, and so on."""
    value, table = 0, _crc_table(16, 0x8005)
    for byte in data:
        value = (value << 8 ^ table[value >> 8 ^ byte]) & 0xFFFF
        yield value
