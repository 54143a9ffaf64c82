"""Headers that say too little, too much or nothing, and files joined of several."""

import struct

import numpy as np
import pytest

from diffusion_audio.audio.files import SUFFIXES, AudioFileError, probe, read
from tests.audio.encoded import chirp, decoded, encode, id3, put, whole

RATE = 48_000
KINDS = {
    "WAV PCM_16": ".wav",
    "WAVEX PCM_24": ".wave",
    "RF64 FLOAT": ".rf64",
    "W64 PCM_16": ".w64",
    "W64 FLOAT": ".w64",
    "AIFF PCM_16": ".aiff",
    "AIFF FLOAT": ".aifc",
    "AIFF ULAW": ".aif",
    "AU PCM_16": ".au",
    "AU DOUBLE": ".snd",
    "CAF PCM_16": ".caf",
    "CAF FLOAT": ".caf",
    "FLAC PCM_16": ".flac",
    "FLAC PCM_24": ".flac",
    "OGG VORBIS": ".ogg",
    "OGG OPUS": ".opus",
}
ONE = {kind: encode(kind, chirp(RATE, 1.0), RATE) for kind in KINDS}
OTHER = {kind: encode(kind, chirp(RATE, 0.7)[::-1], RATE) for kind in KINDS}


def refused(kind, path, message):
    with pytest.raises(AudioFileError, match=message) as caught:
        read(path, RATE)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read_whatever_its_name(tmp_path, kind):
    assert KINDS[kind] in SUFFIXES
    for name in (f"a{KINDS[kind]}", "a.wav", "a"):
        path = put(tmp_path, ONE[kind], name)
        assert probe(path).format == kind
        np.testing.assert_array_equal(whole(path), decoded(ONE[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_joined_files_are_one_after_the_other(tmp_path, kind):
    data = ONE[kind] + OTHER[kind] + ONE[kind]
    wave = whole(put(tmp_path, data))
    parts = [decoded(part) for part in (ONE[kind], OTHER[kind], ONE[kind])]
    np.testing.assert_allclose(wave, np.concatenate(parts), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_tags_and_fillings_are_no_sound(tmp_path, kind):
    data, length = ONE[kind], len(decoded(ONE[kind]))
    for tagged in (
        id3(300_000) + data,
        data + b"TAG" + bytes(125),
        data + bytes(4000),
        data + id3(1000),
    ):
        assert len(whole(put(tmp_path, tagged))) == length


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_refused(tmp_path, kind):
    for share in (0.3, 0.8, 0.999):
        data = ONE[kind][: int(share * len(ONE[kind]))]
        refused("truncated", put(tmp_path, data), "cut off|its header promises")


@pytest.mark.parametrize("kind", KINDS)
def test_sound_that_no_header_counts_is_refused(tmp_path, kind):
    path = put(tmp_path, ONE[kind] + b"\x12\x34" * 5000)
    refused("unreadable", path, "10000 more follow, which may be sound")


def test_joined_of_two_kinds_is_refused(tmp_path):
    other = encode("WAV PCM_16", chirp(RATE, 0.1, 2), RATE)
    path = put(tmp_path, ONE["WAV PCM_16"] + other)
    refused("unreadable", path, "48000 Hz x 1 and 48000 Hz x 2")
    for mixed in (("OGG VORBIS", "FLAC PCM_16"), ("FLAC PCM_16", "OGG VORBIS")):
        assert probe(put(tmp_path, b"".join(map(ONE.get, mixed)))).seconds == 2.0


def with_total(data, total):
    """A FLAC whose header promises so many samples."""
    word = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + word.to_bytes(8, "big") + data[26:]


@pytest.mark.parametrize("total", [0, 1, RATE - 4096, RATE - 1])
def test_flac_of_a_lying_header(tmp_path, total):
    data = with_total(ONE["FLAC PCM_16"], total)
    for tail in (b"", b"TAG" + bytes(125), bytes(500)):
        wave = whole(put(tmp_path, data + tail))
        np.testing.assert_array_equal(wave, decoded(ONE["FLAC PCM_16"]))
    other = with_total(OTHER["FLAC PCM_16"], 0)
    assert probe(put(tmp_path, data + id3(99) + other)).seconds == 1.7
    for cut in (1, 500):  # the last frame is there, but not whole
        path = put(tmp_path, with_total(data, 0)[:-cut])
        refused("truncated", path, "ends within a frame: cut off")
    more = with_total(ONE["FLAC PCM_16"], RATE + 1)
    refused("truncated", put(tmp_path, more), r"1\.00 s of the 1\.00 s")


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFF000, 0x7FFFF000, 0x7FFFFF00]
)
def test_wav_from_a_pipe(tmp_path, size):
    data = bytearray(ONE["WAV PCM_16"])
    place = data.index(b"data")
    data[place + 4 : place + 8] = struct.pack("<I", size)
    for riff in (0, 0xFFFFFFFF, len(data) - 8):
        data[4:8] = struct.pack("<I", riff)
        wave = whole(put(tmp_path, bytes(data)))
        np.testing.assert_array_equal(wave, decoded(ONE["WAV PCM_16"]))


def test_wav_of_fewer_bytes_than_there_are(tmp_path):
    data = bytearray(ONE["WAV PCM_16"])
    place = data.index(b"data")
    data[place + 4 : place + 8] = struct.pack("<I", 1000)
    refused("unreadable", put(tmp_path, bytes(data)), "95000 more follow")


def test_chunks_after_the_samples_are_no_sound(tmp_path):
    for wave in (chirp(RATE, 0.1), chirp(RATE, 0.1)[:-1]):
        data = encode("WAV PCM_U8", wave, RATE)
        padded = data.endswith(b"\0") and len(wave) % 2
        chunk = b"LIST" + struct.pack("<I", 10) + b"INFOabcdef"
        for tail in (chunk, chunk * 3, chunk[:-3], b"odd " + chunk[4:]):
            assert probe(put(tmp_path, data + tail)).frames == len(wave)
            if padded:  # some leave the padding out
                assert probe(put(tmp_path, data[:-1] + tail)).frames == len(wave)


def test_other_containers_from_a_pipe(tmp_path):
    data = bytearray(ONE["AU PCM_16"])
    data[8:12] = b"\xff" * 4
    assert len(whole(put(tmp_path, bytes(data)))) == RATE
    data = bytearray(ONE["CAF PCM_16"])
    place = data.index(b"data")
    data[place + 4 : place + 12] = b"\xff" * 8
    assert len(whole(put(tmp_path, bytes(data)))) == RATE


def test_aiff_whose_counts_disagree(tmp_path):
    data = bytearray(ONE["AIFF PCM_16"])
    place = data.index(b"COMM") + 10
    for told, kind in ((1000, "unreadable"), (RATE + 5, "truncated")):
        data[place : place + 4] = struct.pack(">I", told)
        message = f"promises {told} samples, and its sound chunk holds 48000"
        refused(kind, put(tmp_path, bytes(data)), message)


@pytest.mark.parametrize("kind", ["OGG VORBIS", "OGG OPUS"])
def test_ogg_that_lacks_pages(tmp_path, kind):
    data = encode(kind, chirp(RATE, 8.0), RATE)
    pages = [b"OggS" + page for page in data.split(b"OggS")[1:]]
    assert len(pages) >= 5
    path = put(tmp_path, b"".join(pages[:-1]))
    refused("truncated", path, "ends before its last page")
    path = put(tmp_path, b"".join(pages[:3] + pages[4:]))
    refused("truncated", path, "pages are missing")


@pytest.mark.parametrize("kind", ["OGG VORBIS", "OGG OPUS"])
def test_ogg_pages_that_are_damaged_or_tell_wrong_times(tmp_path, kind):
    data = bytearray(encode(kind, chirp(RATE, 8.0), RATE))
    place = data.rindex(b"OggS")
    data[-1] ^= 1  # libsndfile would leave the page out, and end earlier
    refused("truncated", put(tmp_path, bytes(data)), f"page at byte {place} is damaged")
    data[-1] ^= 1
    for frames in (RATE, 0, -1):  # libsndfile would end there
        data[place + 6 : place + 14] = struct.pack("<q", frames)
        data[place + 22 : place + 26] = bytes(4)
        data[place + 22 : place + 26] = ogg_sum(data[place:])
        refused("unreadable", put(tmp_path, bytes(data)), "tells an earlier time")


def ogg_sum(page):
    """The check of a page, bit by bit."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return struct.pack("<I", value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("WAV MS_ADPCM", "WAV coding 2 is not supported: it is MS ADPCM"),
        ("W64 IMA_ADPCM", "W64 coding 17 is not supported: it is IMA ADPCM"),
        ("AIFF IMA_ADPCM", "AIFF coding 'ima4' is not supported: convert it to PCM"),
        ("AU G721_32", "AU coding 23 is not supported: convert it to PCM"),
        ("CAF ALAC_16", "CAF coding 'alac' is not supported: convert it to PCM"),
        ("VOC PCM_16", "is a VOC file: convert it to WAV or FLAC"),
        ("NIST PCM_16", "is a NIST SPHERE file: convert it to WAV or FLAC"),
        ("IRCAM PCM_16", "not a WAV, FLAC, OGG or MP3 file"),
    ],
)
def test_codings_never_given_to_the_decoder(tmp_path, monkeypatch, kind, message):
    path = put(tmp_path, encode(kind, chirp(RATE, 0.2), RATE), "a.wav")
    monkeypatch.setattr("soundfile.SoundFile", None)
    refused("unreadable", path, message)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\0\0\0\x20ftypM4A \0\0", "an MP4 or M4A file: convert it to WAV or FLAC"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", r"a WMA \(ASF\) file: convert it"),
        (b"\x1a\x45\xdf\xa3\x01", "a Matroska or WebM file: convert it"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"RIFX\0\0\0\0WAVEfmt ", r"a WAV file of the big-endian kind \(RIFX\)"),
        (b"<html><body>", "a web page, not a WAV"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (bytes(9000), "nothing but zeros"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, head, message):
    refused("unreadable", put(tmp_path, head, "a.wav"), message)
