"""The frames of an MP3: what the head of one says, and where the next one is.

ISO 11172-3 and 13818-3 have the format.
"""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from diffusion_audio.audio.raw import RawFile
from diffusion_audio.audio.tags import skip_tags

LONGEST_GAP = 4096  # bytes between frames that are no frame, at most
GAPS = 1 << 17  # bytes of all of them
VERSION_1 = 3
RATES = (44_100, 48_000, 32_000)
KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


class Frame(NamedTuple):
    """What the four bytes at the head of a frame say.

    Attributes:
        size: bytes of the frame.
        samples: of each channel.
        sample_rate: Hz.
        channels: 1 or 2.
        body: bytes before the side information: header and check.
        side: bytes of the side information.
    """

    size: int
    samples: int
    sample_rate: int
    channels: int
    body: int
    side: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """What all frames of a stream have in common."""
        return self.samples, self.sample_rate, self.channels


@functools.lru_cache(maxsize=4096)
def header(head: bytes) -> Frame | None:
    """A frame of layer III by its first four bytes; ``None`` if it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbps, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbps in (0, 15) or rate == 3:  # free format has no sizes
        return None
    one = version == VERSION_1
    sample_rate = RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits = (KBPS_1 if one else KBPS_2)[kbps] * 1000
    size = (144 if one else 72) * bits // sample_rate + (head[2] >> 1 & 1)
    channels = 1 if head[3] >> 6 == 3 else 2
    side = {(True, 1): 17, (True, 2): 32, (False, 1): 9, (False, 2): 17}[one, channels]
    body = 4 if head[1] & 1 else 6
    return Frame(size, 1152 if one else 576, sample_rate, channels, body, side)


def walk(
    data: RawFile, start: int, end: int, like: Frame | None = None
) -> Iterator[tuple[int, Frame]]:
    """Place and header of every frame, over tags and a little that is neither.

    Args:
        data: the file.
        start: where to begin.
        end: end of what may be frames.
        like: a frame of the same stream, if one is known.

    Raises:
        AudioFileError: as `mp3.scan`.
    """
    place, gaps = start, 0
    while place < end:
        frame = header(data[place : place + 4])
        fits = frame is not None and (like is None or frame.kind == like.kind)
        # The first is believed if another follows.
        sure = like is not None or _follows(data, place, end)
        if frame is None or not (fits and sure):
            found = _next_frame(data, place, end, like)
            if found is None:
                return
            gaps += min(found - place, LONGEST_GAP)
            if gaps > GAPS:
                raise data.error(
                    "truncated", f"much of it up to byte {place} is no MP3: damaged"
                )
            place = found
            continue
        if place + frame.size > end:
            raise data.error("truncated", "ends within a frame: cut off")
        like = like or frame
        yield place, frame
        place += frame.size


def begins_near(data: RawFile, start: int) -> bool:
    """Whether frames begin at ``start``, or after the rest of one that was cut."""
    near = data[start : start + LONGEST_GAP]
    return any(
        _follows(data, start + place.start(), len(data), more=3)
        for place in re.finditer(b"\xff[\xe2-\xff]", near)
    )


def _follows(data: RawFile, place: int, end: int, more: int = 1) -> bool:
    """Whether a frame is followed by so many like it, a tag or the end."""
    frame = header(data[place : place + 4])
    if frame is None:
        return False
    after = place + frame.size
    if after >= end:
        return after == end
    follower = header(data[after : after + 4])
    if follower is None:
        return skip_tags(data, after) > after
    if follower.kind != frame.kind:
        return False
    return more == 1 or _follows(data, after, end, more - 1)


def _next_frame(data: RawFile, place: int, end: int, like: Frame | None) -> int | None:
    """Where the frames go on after what is none; ``None`` if nothing follows."""
    begin = skip_tags(data, place)
    if begin > place:
        return begin
    gap = data[place : min(end, place + LONGEST_GAP + 4)]
    position = 0
    while (position := gap.find(b"\xff", position)) >= 0:
        frame = header(gap[position : position + 4])
        if frame is not None and _follows(data, place + position, end):
            if like is None or frame.kind == like.kind:
                return place + position
            raise data.error(
                "unreadable",
                f"joined of sounds of different kinds: {_kind(like)}, and from byte "
                f"{place + position} {_kind(frame)}; cut it into files of one kind",
            )
        position += 1
    after = _after_zeros(data, place, end)
    if after == end:
        return None
    if after > place and header(data[after : after + 4]) is not None:
        return after
    if like is None or end - place <= LONGEST_GAP:
        return None
    raise data.error(
        "truncated", f"from byte {place} on it is no MP3: damaged there, or cut off"
    )


def _after_zeros(data: RawFile, place: int, end: int) -> int:
    while place < end:
        block = data[place : min(end, place + (1 << 16))]
        kept = block.lstrip(b"\0")
        if kept or not block:
            return place + len(block) - len(kept)
        place += len(block)
    return end


def _kind(frame: Frame) -> str:
    return f"{frame.sample_rate} Hz {('mono', 'stereo')[frame.channels - 1]}"


def absence(data: RawFile, start: int) -> str:
    """What a file without a frame is, by how it begins."""
    head = data[start : start + 4]
    if head.startswith(b"ID3"):
        return "its tag is longer than the file: cut off, or damaged"
    if len(head) == 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        if head[1] & 6 == 0:
            return "is AAC: convert it to WAV or FLAC (for example with ffmpeg)"
        if head[1] & 6 != 2:
            layer = "I" * (4 - (head[1] >> 1 & 3))
            return f"is MPEG audio of layer {layer}, not MP3: convert it to WAV or FLAC"
        if head[2] >> 4 == 0:
            return "is an MP3 of free format: convert it to WAV or FLAC"
    return "holds no MP3 frames: damaged, or not the format it claims to be"
