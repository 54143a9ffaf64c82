"""OGG: the pages of a file, and the streams that they are chained of.

libsndfile ends with the first stream of a chain, takes a file that was cut off or lacks
pages for a whole one, leaves out damaged pages and believes the time that the last one
tells; so pages are walked here. RFC 3533 has the format.
"""

import zlib

from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.raw import RawFile

HEADER = 27  # bytes before the table of segments
FIRST, LAST = 2, 4  # flags of a page
BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")


def ogg_part(data: RawFile, start: int) -> Part:
    """The stream that begins at ``start``, up to the next one of the chain.

    Raises:
        AudioFileError: ``"truncated"`` if it ends within a page, lacks pages or its
            last one, or one is damaged; ``"unreadable"`` without sound in it, or if
            times in it run backwards.
    """
    position = start
    numbers: dict[bytes, int] = {}
    times: dict[bytes, int] = {}
    codecs: list[bytes] = []
    ended: set[bytes] = set()
    opening = True
    while (head := data[position : position + HEADER + 255])[:4] == b"OggS":
        segments = head[HEADER - 1] if len(head) >= HEADER else 255
        table = head[HEADER : HEADER + segments]
        body = position + HEADER + segments
        stop = body + sum(table)
        if len(table) < segments or stop > len(data):
            raise data.error("truncated", "ends within a page: cut off")
        flags, serial = head[5], head[14:18]
        number = int.from_bytes(head[18:22], "little")
        if flags & FIRST:
            if not opening:
                break  # the next of the chain
            codecs.append(data[body : min(stop, body + 8)])
        else:
            opening = False
            if serial not in numbers or number != (numbers[serial] + 1) & 0xFFFFFFFF:
                raise data.error(
                    "truncated", f"pages are missing before byte {position}: damaged"
                )
        numbers[serial] = number
        if _check(data[position:stop]) != head[22:26]:
            raise data.error("truncated", f"the page at byte {position} is damaged")
        time = int.from_bytes(head[6:14], "little", signed=True)
        ends_packet = any(length < 255 for length in table)
        if ends_packet and time < times.get(serial, 0):
            raise data.error(
                "unreadable",
                f"the page at byte {position} tells an earlier time than those before "
                "it, so its length is not known: convert it to WAV or FLAC",
            )
        times[serial] = max(time, times.get(serial, 0))
        if flags & LAST:
            ended.add(serial)
        position = stop
    if not any(codec.startswith(CODECS) for codec in codecs):
        raise data.error(
            "unreadable",
            "an OGG file without Vorbis, Opus or FLAC in it: convert it to WAV or FLAC",
        )
    if len(ended) < len(numbers):
        raise data.error("truncated", "ends before its last page: cut off")
    return Part(start, position)


def _check(page: bytes) -> bytes:
    """The CRC-32 of a page, most significant bit first: zlib's, of bits reversed."""
    bits = (page[:22] + bytes(4) + page[26:]).translate(BACKWARDS)
    value = zlib.crc32(bits, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(BACKWARDS)
