"""Tags that programs put before, between and after audio: where they end."""

from diffusion_audio.audio.raw import RawFile

MANY = 1000  # tags in a row, at most
NEAR = 1 << 16  # bytes looked through at once
ZEROS = bytes(NEAR)
LONGEST_LYRICS = 1 << 20
AFTER_TAG = (b"ID3", b"APETAGEX", b"TAG", b"fLaC", b"OggS", b"RIFF", b"\xff")


def skip_tags(data: RawFile, start: int) -> int:
    """The first byte from ``start`` on that belongs to no ID3, APE or Lyrics3 tag."""
    for _ in range(MANY):
        stop = _tag_end(data, start)
        if stop == start or stop > len(data):
            break
        start = stop
    return start


def _tag_end(data: RawFile, start: int) -> int:
    head = data[start : start + 32]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = 0
        for digit in head[6:10]:
            size = size << 7 | digit
        footer = 10 if head[5] & 0x10 else 0
        return start + 10 + size + footer
    if head[:8] == b"APETAGEX" and len(head) == 32:
        # The size leaves the header out; a footer alone says where its tag began.
        is_header = bool(head[23] & 0x20)
        size = int.from_bytes(head[12:16], "little")
        return start + 32 + (size if is_header else 0)
    if head[:4] == b"TAG+" and len(data) - start == 227 + 128:
        return len(data)
    if head[:3] == b"TAG":
        stop = start + 128
        # Within a file it is only told from sound by what it stands before.
        if stop == len(data) or data[stop : stop + 8].startswith(AFTER_TAG):
            return stop
    if head[:11] == b"LYRICSBEGIN":
        end = data[start : start + LONGEST_LYRICS].find(b"LYRICS200")
        return start + end + 9 if end >= 0 else start
    return start


def before_tags(data: RawFile, start: int, stop: int) -> int:
    """Where what ends at ``stop`` ends without the tags at its end.

    Args:
        data: the file.
        start: what lies before is no tag.
        stop: end of the sound and its tags.
    """
    for _ in range(MANY):
        end = max(start, _tag_start(data, start, stop))
        if end == stop:
            break
        stop = end
    return stop


def _tag_start(data: RawFile, start: int, stop: int) -> int:
    for length, mark in ((128, b"TAG"), (227, b"TAG+")):
        if data[max(start, stop - length) : stop].startswith(mark):
            return stop - length
    foot = data[max(start, stop - 32) : stop]
    if foot.startswith(b"APETAGEX") and len(foot) == 32:
        header = 32 if foot[23] & 0x80 else 0
        return stop - int.from_bytes(foot[12:16], "little") - header
    if foot.endswith(b"LYRICS200") and foot[-15:-9].isdigit():
        return stop - 15 - int(foot[-15:-9])
    near = max(start, stop - NEAR)
    tail = data[near:stop]
    place = tail.rfind(b"ID3")
    if place >= 0 and _tag_end(data, near + place) == stop:
        return near + place
    return stop


def is_zeros(data: RawFile, start: int, stop: int) -> bool:
    """Whether these bytes are all zero, as what fills a block on a disk."""
    while start < stop:
        block = data[start : min(stop, start + NEAR)]
        if not block or block != ZEROS[: len(block)]:
            return False
        start += len(block)
    return True
