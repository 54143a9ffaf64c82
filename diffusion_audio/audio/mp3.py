"""MP3: the frames of a file, counted; any part of them, decoded.

An MP3 has no length but that of its frames. libsndfile guesses it from the first frame
where no Xing header gives it, ends there, and seeks by such guesses. So frames are
walked here, and it is given those that are needed, behind a Xing header that is right.
http://gabriel.mp3-tech.org/mp3infotag.html has the headers of Xing and LAME.
"""

import dataclasses
import io
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile

from diffusion_audio.audio.mp3_frames import Frame, absence, header, walk
from diffusion_audio.audio.raw import RawFile
from diffusion_audio.audio.tags import before_tags

INDEX = 32  # every so many frames, the place of one is kept
LEAD = 96  # frames looked at before those wanted
RESERVOIR = 511  # bytes of earlier frames that one may use
OVERLAP = 2  # frames that sound into those after them
TAGS = (b"Xing", b"Info")
DELAY = 529  # samples that a decoder is late, which mpg123 leaves out


@dataclasses.dataclass(frozen=True)
class Mp3:
    """The frames of sound of an MP3 file, of however many streams it is joined.

    Attributes:
        first: what its frames have in common, as of the first.
        index: the byte of every `INDEX`-th frame.
        count: number of frames.
        stop: where they end.
        kept: (first, end) samples that are sound, of those that the frames make: an
            encoder adds some before and after, and may say how many.
    """

    first: Frame
    index: array
    count: int
    stop: int
    kept: tuple[tuple[int, int], ...]

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return sum(stop - start for start, stop in self.kept)


class _Stream(NamedTuple):
    """From one Xing header to the next: frames before it, and what it says."""

    begin: int
    declared: int | None
    exact: bool
    delay: int
    padding: int


def scan(data: RawFile, start: int) -> Mp3:
    """Counts the frames from ``start`` to the end of the file.

    Raises:
        AudioFileError: ``"truncated"`` if it ends within a frame or before a Xing
            header says, or much of it is no frame; ``"unreadable"`` if it has none, or
            streams of different rates or channels.
    """
    end = before_tags(data, start, len(data))
    index, streams = array("Q"), [_Stream(0, None, False, 0, 0)]
    count, first, stop = 0, None, start
    for place, frame in walk(data, start, end):
        if first is None:
            first = frame
        if (declared := _xing(data, place, frame)) is not None:
            streams.append(declared._replace(begin=count))
        else:
            if count % INDEX == 0:
                index.append(place)
            count += 1
        stop = place + frame.size
    if first is None:
        raise data.error("unreadable", absence(data, start))
    ends = [stream.begin for stream in streams[1:]] + [count]
    kept = [
        _kept(data, first, stream, end - stream.begin)
        for stream, end in zip(streams, ends, strict=True)
    ]
    return Mp3(first, index, count, stop, tuple(k for k in kept if k[0] < k[1]))


def decode(
    data: RawFile, mp3: Mp3, start: int, stop: int, block: int
) -> Iterator[np.ndarray]:
    """Samples of a part of the sound, the same wherever the part begins.

    Args:
        data: the file.
        mp3: made by `scan` of it.
        start: first sample.
        stop: the one after the last.
        block: samples decoded at a time; whole frames are.

    Yields:
        [n, channels] float32; fewer than asked for where decoding fails.
    """
    size = mp3.first.samples
    for begin, end in mp3.kept:
        length = end - begin
        first, last = begin + max(0, start), begin + min(length, stop)
        start, stop = start - length, stop - length
        while first < last:
            number = first // size
            ending = min(number + -(-block // size), -(-last // size))
            wave = _decode_frames(data, mp3, number, ending)
            wanted = wave[first - number * size : last - number * size]
            yield wanted
            if len(wave) < (ending - number) * size:
                return
            first += len(wanted)


def _xing(data: RawFile, place: int, frame: Frame) -> _Stream | None:
    """What a frame that holds a Xing, Info or VBRI header says; else ``None``."""
    body = data[place + 4 : place + frame.size]
    if body[32:36] == b"VBRI" and not any(body[:32]):
        return _Stream(0, int.from_bytes(body[46:50], "big"), False, 0, 0)
    # It lies where sound would, with or without room for the frame's check.
    begins = (i for i in (frame.side, frame.side + 2) if body[i : i + 4] in TAGS)
    body = body[next(begins, len(body)) :]
    if len(body) < 12:
        return None
    flags, position = body[7], 8
    declared = int.from_bytes(body[8:12], "big") if flags & 1 else None
    for flag, length in ((1, 4), (2, 4), (4, 100), (8, 4)):
        position += length if flags & flag else 0
    extension = body[position : position + 24]
    encoder, numbers = extension[:9], extension[21:]
    if declared is None or len(numbers) < 3 or not encoder[0]:
        return _Stream(0, declared, False, 0, 0)
    word = int.from_bytes(numbers, "big")
    return _Stream(
        0, declared, encoder[:3] in (b"LAM", b"Lav"), word >> 12, word & 0xFFF
    )


def _kept(data: RawFile, first: Frame, stream: _Stream, held: int) -> tuple[int, int]:
    """The samples of a stream that are sound, of those that all frames make."""
    size = first.samples
    begin, end = stream.begin * size, (stream.begin + held) * size
    if not stream.declared:
        return begin, end
    # Some count the header as a frame.
    if held < stream.declared - (not stream.exact):
        whole = stream.declared * size / first.sample_rate
        seconds = held * size / first.sample_rate
        raise data.error(
            "truncated",
            f"ends after {seconds:.2f} s of the {whole:.2f} s its header promises: cut "
            "off, or damaged there",
        )
    if stream.delay + stream.padding:
        begin += stream.delay + DELAY
        # What was appended without a header of its own has no padding to leave out.
        end -= max(0, stream.padding - DELAY) if held <= stream.declared else 0
    return begin, end


def _decode_frames(data: RawFile, mp3: Mp3, start: int, stop: int) -> np.ndarray:
    """All samples of the frames ``start .. stop``; fewer where decoding fails."""
    size, side = mp3.first.samples, mp3.first.side
    block = max(0, start - LEAD) // INDEX
    frames: list[tuple[bytes, Frame]] = []
    number = block * INDEX
    for place, frame in walk(data, mp3.index[block], mp3.stop, mp3.first):
        content = data[place : place + frame.size]
        if _xing(data, place, frame) is not None:
            continue
        frames.append((content, frame))
        number += 1
        if number == stop:
            break
    # Frames that lend bytes to later ones but are not played, those that are played
    # into later ones, and those that are wanted.
    played = max(0, len(frames) - (stop - start) - OVERLAP)
    lead, lent = played, 0
    while lead > 0 and lent < RESERVOIR:
        lead -= 1
        lent += frames[lead][1].size - frames[lead][1].body - side
    longest = RESERVOIR if size == 1152 else 255
    stream = [_silent(mp3.first, frames[0][0])]
    available = 0
    for i, (content, frame) in enumerate(frames[lead:], start=lead):
        used = int.from_bytes(content[frame.body : frame.body + 2], "big")
        used = used >> 7 if size == 1152 else used >> 8
        if i < played or used > available:
            content = _muted(content, frame, min(available, longest))
        stream.append(content)
        available = min(available, RESERVOIR) + frame.size - frame.body - side
    count = len(stream)
    stream.insert(0, _info(mp3.first, frames[0][0], count))
    try:
        with soundfile.SoundFile(io.BytesIO(b"".join(stream))) as file:
            wave = file.read(dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return np.zeros((0, mp3.first.channels), np.float32)
    before = (count - (stop - start)) * size - DELAY
    return wave[before:]


def _muted(content: bytes, frame: Frame, lent: int) -> bytes:
    """A frame of silence, with the bytes that it lends to later ones."""
    pointer = lent << 7 if frame.samples == 1152 else lent << 8
    side = pointer.to_bytes(2, "big") + bytes(frame.side - 2)
    return content[: frame.body] + side + content[frame.body + frame.side :]


def _silent(frame: Frame, content: bytes) -> bytes:
    """A frame of nothing but silence, like another."""
    size, head = _largest(content)
    return head + bytes(size - 4)


def _info(frame: Frame, content: bytes, count: int) -> bytes:
    """A Xing header that says how many frames follow."""
    size, head = _largest(content)
    body = (
        bytes(frame.side) + b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    )
    return head + body + bytes(size - 4 - len(body))


def _largest(content: bytes) -> tuple[int, bytes]:
    """A header of the same stream without a check, at the highest bit rate."""
    head = bytes(
        (content[0], content[1] | 1, content[2] & 0x0D | 0xE0, content[3] & 0xCF)
    )
    frame = header(head)
    assert frame is not None
    return frame.size, head
