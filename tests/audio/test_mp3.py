"""Lengths and parts of MP3 files: what decoding gives, whatever headers say."""

from functools import partial

import numpy as np
import pytest

from diffusion_audio.audio.files import AudioFileError, probe, read
from tests.audio import encoded
from tests.audio.encoded import ape, chirp, decoded, encode, frames, id3, put

whole = partial(encoded.whole, atol=2e-7)

CONSTANT, VARIABLE = "CONSTANT", "VARIABLE"
# Rate, channels, bit rate mode, compression: MPEG 1, 2 and 2.5; with and without Xing.
CODINGS = [
    (44_100, 1, CONSTANT, 0.5),
    (44_100, 2, VARIABLE, 0.3),
    (22_050, 1, CONSTANT, 0.9),
    (22_050, 2, VARIABLE, 0.5),
    (8000, 2, CONSTANT, 0.97),
]


def mp3(rate=44_100, channels=1, mode=VARIABLE, level=0.3, seconds=4.0):
    options = {"bitrate_mode": mode, "compression_level": level}
    wave = chirp(rate, seconds, channels)
    return encode("MP3 MPEG_LAYER_III", wave, rate, **options)


def without_xing(data):
    found = frames(data)
    return b"".join(found[1 if b"LAME" in found[0] else 0 :])


def refused(kind, path, message):
    with pytest.raises(AudioFileError, match=message) as caught:
        probe(path)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_good_file_is_decoded_as_by_libsndfile(tmp_path, monkeypatch, coding):
    monkeypatch.setattr("diffusion_audio.audio.files.BLOCK", 10_000)
    data = mp3(*coding)
    wave = whole(put(tmp_path, data))
    np.testing.assert_allclose(wave, decoded(data), rtol=0, atol=2e-7)


@pytest.mark.parametrize("coding", CODINGS)
def test_without_a_header_frames_are_counted(tmp_path, coding):
    data = without_xing(mp3(*coding))
    size = 1152 if coding[0] >= 32_000 else 576
    wave = whole(put(tmp_path, data))
    assert len(wave) == size * len(frames(data))


def test_without_a_header_the_sound_is_the_same(tmp_path):
    """All but the samples that the encoder added, which only the header tells."""
    data = mp3()
    wave = whole(put(tmp_path, without_xing(data)))
    expected = decoded(data)
    late = 576 + 529  # LAME's delay and a decoder's
    np.testing.assert_allclose(
        wave[late : late + len(expected)], expected, rtol=0, atol=2e-7
    )


@pytest.mark.parametrize(
    "between",
    [b"", id3(3000), ape(500), ape(500) + id3(30_000), b"junk" * 50, bytes(9000)],
)
def test_joined_files_are_one_after_the_other(tmp_path, between):
    one, other = mp3(seconds=3.0), mp3(seconds=2.0, level=0.6)
    wave = whole(put(tmp_path, one + between + other))
    expected = np.concatenate([decoded(one), decoded(other)])
    np.testing.assert_allclose(wave, expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("mode", [CONSTANT, VARIABLE])
def test_tags_are_no_sound(tmp_path, mode):
    data = mp3(mode=mode)
    for tagged in (
        id3(300_000) + data,
        id3(300_000) + id3(99) + data + b"TAG" + bytes(125),
        data + ape(100_000),
        data + b"LYRICSBEGIN" + b"la" * 99 + b"000209LYRICS200",
        data + bytes(5000),
    ):
        assert len(whole(put(tmp_path, tagged))) == len(decoded(data))
        bare = tagged.replace(data, without_xing(data))
        count = len(frames(without_xing(data)))
        assert len(whole(put(tmp_path, bare))) == 1152 * count


def test_garbage_between_frames_is_passed_over(tmp_path):
    data = mp3()
    found = frames(data)
    head, rest = b"".join(found[:50]), b"".join(found[50:])
    for noise in (b"\xff\xfb" * 400, b"\xff" * 999, bytes(50_000)):
        wave = whole(put(tmp_path, head + noise + rest))
        np.testing.assert_allclose(wave, decoded(data), rtol=0, atol=2e-7)
    noise = np.random.default_rng(0).bytes(20_000)
    refused("truncated", put(tmp_path, head + noise + rest), "is no MP3: damaged")


def test_what_is_cut_off_is_refused(tmp_path):
    data = mp3()
    bare = without_xing(data)
    half = b"".join(frames(data)[:80])
    refused("truncated", put(tmp_path, half), r"ends after 2\.06 s of the 4\.0")
    refused("truncated", put(tmp_path, half[:-1]), "ends within a frame")
    refused(
        "truncated", put(tmp_path, bare[: len(bare) // 2 + 9]), "ends within a frame"
    )
    refused("truncated", put(tmp_path, data[:-1]), "ends within a frame")


def test_a_beginning_that_is_cut_off_is_passed_over(tmp_path):
    """As of what was taken from a broadcast: whole frames are what there is."""
    found = frames(without_xing(mp3()))
    path = put(tmp_path, found[20][100:] + b"".join(found[21:]))
    assert len(whole(path)) == 1152 * len(found[21:])


@pytest.mark.parametrize("flags", [0, 1])
def test_a_header_of_another_count(tmp_path, flags):
    """More frames than it counts are read; without a count, all are."""
    data = bytearray(mp3())
    place = data.index(b"Xing")
    count = int.from_bytes(data[place + 8 : place + 12], "big")
    assert count == len(frames(bytes(data))) - 1
    if flags:
        data[place + 8 : place + 12] = (count - 20).to_bytes(4, "big")
        expected = 1152 * count - 576 - 529
    else:
        data[place + 7] = 0
        expected = 1152 * count
    assert len(whole(put(tmp_path, bytes(data)))) == expected


def test_appended_frames_are_read(tmp_path):
    data = mp3()
    more = b"".join(frames(data)[-30:])
    assert len(whole(put(tmp_path, data + more))) >= len(decoded(data)) + 30 * 1152


def test_a_vbri_header_is_no_sound(tmp_path):
    found = frames(without_xing(mp3()))
    body = bytes(32) + b"VBRI" + bytes(10) + len(found).to_bytes(4, "big")
    vbri = found[0][:4] + body.ljust(len(found[0]) - 4, b"\0")
    assert len(vbri) >= 4 + len(body)
    path = put(tmp_path, vbri + b"".join(found))
    assert len(whole(path)) == 1152 * len(found)
    refused(
        "truncated", put(tmp_path, vbri + b"".join(found[:50])), "ends after 1.31 s"
    )


def test_joined_of_two_kinds_is_refused(tmp_path):
    one = mp3()
    for other, kind in (
        (mp3(channels=2), "44100 Hz mono, and from byte [0-9]+ 44100 Hz stereo"),
        (mp3(rate=22_050), "44100 Hz mono, and from byte [0-9]+ 22050 Hz mono"),
    ):
        refused("unreadable", put(tmp_path, one + other), kind)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\xff\xf1\x50\x80", "is AAC: convert it to WAV or FLAC"),
        (b"\xff\xfd\x90\x44", "MPEG audio of layer II, not MP3"),
        (b"\xff\xfb\x00\x44", "an MP3 of free format"),
        (b"\xff\xfb\xf0\x44", "no MP3 frames"),
        (b"ID3\x03\0\0\0\x7f\x7f\x7f", "its tag is longer than the file"),
    ],
)
def test_what_is_no_mp3_is_named(tmp_path, head, message):
    refused("unreadable", put(tmp_path, head + b"\x55" * 3000), message)


def test_walking_is_not_repeated(tmp_path, monkeypatch):
    """The length of a file is found once, until the file changes."""
    path = put(tmp_path, mp3(seconds=2.0))
    length = probe(path).frames
    with monkeypatch.context() as patch:
        patch.setattr("diffusion_audio.audio.mp3.scan", None)
        assert probe(path).frames == length
        read(path, 44_100, offset=1.0, max_seconds=0.1)
    path.write_bytes(mp3(seconds=3.0))
    assert probe(path).frames > length
