"""What an audio file is by its bytes, before any decoder sees them; not by its name."""

from diffusion_audio.audio import mp3
from diffusion_audio.audio.flac import flac_part
from diffusion_audio.audio.mp3_frames import begins_near, header
from diffusion_audio.audio.ogg import ogg_part
from diffusion_audio.audio.parts import Part
from diffusion_audio.audio.pcm import (
    W64_RIFF,
    aiff_part,
    au_part,
    caf_part,
    w64_part,
    wav_part,
)
from diffusion_audio.audio.raw import RawFile
from diffusion_audio.audio.tags import is_zeros, skip_tags

PARTS = 1000  # that a file may be joined of
BEGINNINGS = (b"fLaC", b"OggS", b"ID3", b"caff", b".snd\0\0\0")
FILLING = 1 << 16  # zero bytes after the sound that are no sound themselves, at most

# What files of these beginnings are, though they are not read.
OTHERS = (
    (0, b"\x30\x26\xb2\x75", "a WMA (ASF) file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"ADIF", "an AAC file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"Creative Voice File", "a VOC file"),
    (0, b"NIST_1A", "a NIST SPHERE file"),
    (0, b"RIFX", "a WAV file of the big-endian kind (RIFX)"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (8, b"AVI ", "an AVI video"),
)
STRANGERS = (
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a pointer of Git LFS (fetch the file itself)"),
    (b"pk\x03\x04", "a ZIP archive (unpack it)"),
    (b"\x1f\x8b", "a gzip archive (unpack it)"),
)


def sound_of(data: RawFile) -> tuple[Part, ...] | mp3.Mp3:
    """The streams of a file, one after the other; of an MP3, its frames.

    Raises:
        AudioFileError: ``"truncated"``, or ``"unreadable"``: no known format, a coding
            that is left out for safety, or bytes that no header accounts for.
    """
    parts: list[Part] = []
    place = skip_tags(data, 0)
    if place == len(data):
        raise data.error("empty", "holds a tag and no sound")
    if is_zeros(data, place, len(data)):
        raise data.error("unreadable", "holds nothing but zeros")
    while place < len(data):
        part = _part(data, place)
        if part is None and not parts:
            head = data[place : place + 3]
            likely = place > 0 or head[:1] == b"\xff" or head == b"ID3"
            if likely or begins_near(data, place):
                return mp3.scan(data, place)
            raise data.error("unreadable", _stranger(data[place : place + 32]))
        if part is None:
            raise data.error(
                "unreadable",
                f"its header accounts for the bytes up to {place}, and "
                f"{len(data) - place} more follow, which may be sound: convert it with "
                "what wrote it, or cut it there",
            )
        if part.stop <= place or len(parts) == PARTS:
            raise data.error("unreadable", "joined of too many parts, or of empty ones")
        parts.append(part)
        place = skip_tags(data, part.stop)
        if len(data) - place <= FILLING and is_zeros(data, place, len(data)):
            break
    return tuple(parts)


def begins_as_sound(head: bytes) -> bool:
    """Whether a file that begins so, by 16 bytes, is of a format that is read."""
    return (
        head.startswith((*BEGINNINGS, W64_RIFF))
        or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or header(head[:4]) is not None
    )


def _part(data: RawFile, place: int) -> Part | None:
    """The stream that begins here; ``None`` if no format of parts begins so."""
    head = data[place : place + 16]
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return wav_part(data, place)
    if head == W64_RIFF:
        return w64_part(data, place)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return aiff_part(data, place)
    if head[:4] in (b".snd", b"dns."):
        return au_part(data, place)
    if head[:4] == b"caff":
        return caf_part(data, place)
    if head[:4] == b"OggS":
        return ogg_part(data, place)
    if head[:4] == b"fLaC":
        return flac_part(data, place)
    return None


def _stranger(head: bytes) -> str:
    name = "an MP4 or M4A file" if head[4:8] == b"ftyp" else None
    for offset, mark, other in OTHERS:
        if head[offset:].startswith(mark):
            name = other
    if name:
        return f"is {name}: convert it to WAV or FLAC (for example with ffmpeg)"
    for mark, other in STRANGERS:
        if head.lstrip().lower().startswith(mark):
            return f"is {other}, not a WAV, FLAC, OGG or MP3 file"
    return "not a WAV, FLAC, OGG or MP3 file (nor AIFF, AU, CAF, W64)"
