"""OGG: the pages of a file, and the streams that they are chained of.

libsndfile ends with the first stream of a chain, and takes a file that was cut off or
lacks pages for a whole one; so pages are walked here. RFC 3533 has the format.
"""

from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.raw import RawFile

HEADER = 27  # bytes before the table of segments
FIRST, LAST = 2, 4  # flags of a page
CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")


def ogg_part(data: RawFile, start: int) -> Part:
    """The stream that begins at ``start``, up to the next one of the chain.

    Raises:
        AudioFileError: ``"truncated"`` if it ends within a page, lacks pages or its
            last one; ``"unreadable"`` without sound in it.
    """
    position = start
    numbers: dict[bytes, int] = {}
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
