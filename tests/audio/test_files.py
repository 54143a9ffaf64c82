import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio.files import (
    MAX_SECONDS,
    AudioFileError,
    AudioInfo,
    blocks,
    decode,
    probe,
    read,
    write,
    write_blocks,
)
from diffusion_audio.errors import UserError

RATE = 16000
FORMATS = {
    "pcm.wav": ("WAV", "PCM_16"),
    "deep.wav": ("WAVEX", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "phone.wav": ("WAV", "ULAW"),
    "long.wav": ("RF64", "PCM_16"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.opus": ("OGG", "OPUS"),
    "a.mp3": ("MP3", "MPEG_LAYER_III"),
}


def sine(rate=RATE, seconds=1.0, hertz=440.0):
    time = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def save(path, wave, rate=RATE, kind=("WAV", "PCM_16")):
    soundfile.write(path, wave, rate, kind[1], format=kind[0])
    return path


def refused(kind, path, *args, call=read):
    """The text of the refusal, which must be of this kind and one line."""
    with pytest.raises(AudioFileError) as caught:
        call(path, RATE, *args) if call is read else call(path)
    assert caught.value.kind == kind
    assert isinstance(caught.value, UserError)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_reads_every_format(tmp_path, name):
    path = save(tmp_path / name, sine(), kind=FORMATS[name])
    info = probe(path)
    assert (info.sample_rate, info.channels, info.seconds) == (RATE, 1, 1.0)
    assert info.format == " ".join(FORMATS[name])
    wave = read(path, RATE)
    assert wave.dtype == np.float32
    assert wave.shape == (RATE,)
    lossy = name in ("a.ogg", "a.opus", "a.mp3", "phone.wav")
    inner = slice(2000, -2000)
    error = np.abs(wave - sine())[inner].max()
    assert error < (0.05 if lossy else 1 / 32000)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_mixes_and_resamples(tmp_path, rate):
    """Stereo of two tones at another rate: their mean, at the asked rate."""
    left, right = sine(rate, 1, 440), sine(rate, 1, 1000)
    path = save(tmp_path / "a.wav", np.stack([left, right], 1), rate)
    wave = read(path, RATE)
    assert wave.shape == (RATE,)
    expected = (sine() + sine(hertz=1000)) / 2
    inner = slice(1000, -1000)
    np.testing.assert_allclose(wave[inner], expected[inner], atol=2e-4)


def test_resampling_does_not_alias(tmp_path):
    path = save(tmp_path / "a.wav", sine(44100, 1, 15000), 44100)
    wave = read(path, RATE)
    assert np.abs(wave[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("name", ["pcm.wav", "a.flac", "a.mp3", "a.ogg"])
def test_reads_a_part(tmp_path, name):
    wave = sine(44100, 2) * np.linspace(0, 1, 88200, dtype=np.float32)
    path = save(tmp_path / name, wave, 44100, FORMATS[name])
    whole = read(path, RATE)
    part = read(path, RATE, offset=0.5, max_seconds=0.25)
    assert part.shape == (4000,)
    inner = slice(500, -500)
    np.testing.assert_allclose(part[inner], whole[8000:12000][inner], atol=5e-3)
    assert len(read(path, RATE, offset=1.5, max_seconds=9)) == 8000
    with pytest.raises(AudioFileError, match=r"nothing to read from 2\.5 s"):
        read(path, RATE, offset=2.5)


def test_missing_and_unreadable(tmp_path):
    assert "no such file" in refused("missing", tmp_path / "none.wav")
    refused("unreadable", tmp_path)  # a directory
    page = tmp_path / "page.wav"
    page.write_text("<!DOCTYPE html><title>404</title>")
    assert "not a WAV, FLAC, OGG or MP3 file" in refused("unreadable", page)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    refused("empty", empty)
    for head in (b"fLaC", b"ID3\x04", b"\xff\xfb\x90\x44"):
        noise = tmp_path / "noise.flac"
        noise.write_bytes(head + bytes(range(256)) * 8)
        refused("unreadable", noise)


@pytest.mark.parametrize("call", [read, probe])
def test_absurd_headers(tmp_path, call):
    path = tmp_path / "a.wav"
    for rate in (2**31 - 1, 3999, 192001):
        text = refused("rate", save(path, sine(), rate), call=call)
    assert "192001 Hz is not within 4000..192000 Hz" in text
    save(path, np.zeros((100, 1000), np.float32))
    assert "1000 channels, at most 8" in refused("channels", path, call=call)
    refused("empty", save(path, np.zeros(0, np.float32)), call=call)
    save(path, np.zeros((100, 8), np.float32), 192000)
    assert probe(path) == AudioInfo(192000, 8, 100, "WAV PCM_16")


@pytest.mark.parametrize("call", [read, probe])
@pytest.mark.parametrize("name", [n for n in FORMATS if n.endswith(".wav")])
def test_truncated_wav(tmp_path, name, call):
    path = save(tmp_path / name, sine(), kind=FORMATS[name])
    whole = path.read_bytes()
    for share in (0.5, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        assert "its header promises" in refused("truncated", path, call=call)
    path.write_bytes(whole[:30])
    refused("truncated", path, call=call)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.opus", "a.mp3"])
def test_truncated_compressed(tmp_path, name):
    path = save(tmp_path / name, np.tile(sine(), 10), kind=FORMATS[name])
    whole = path.read_bytes()
    for share in (0.4, 0.8):
        path.write_bytes(whole[: int(share * len(whole))])
        refused("truncated", path)
        refused("truncated", path, call=probe)


def test_flipped_flac(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 160_000)
    path = save(tmp_path / "a.flac", noise, kind=FORMATS["a.flac"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    assert "cut off, or damaged there" in refused("truncated", path)


def test_streamed_wav_of_unknown_size(tmp_path):
    """What ffmpeg and sox write into a pipe is a whole file, not a truncated one."""
    path = save(tmp_path / "a.wav", sine())
    whole = bytearray(path.read_bytes())
    place = whole.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFF000, 0x7FFFF000 - 4):
        whole[place : place + 4] = struct.pack("<I", size)
        path.write_bytes(whole)
        assert read(path, RATE).shape == (RATE,)
    whole[place : place + 4] = struct.pack("<I", 0x7FFFFFFF)
    path.write_bytes(whole)
    refused("truncated", path)


def test_adpcm_never_reaches_the_decoder(tmp_path):
    path = save(tmp_path / "a.wav", sine(), kind=("WAV", "IMA_ADPCM"))
    assert "WAV coding 17 is not supported" in refused("unreadable", path, call=probe)


def test_endless_chunks_are_given_up(tmp_path):
    path = tmp_path / "a.wav"
    whole = save(path, sine()).read_bytes()
    for chunks in (2, 100_000):
        path.write_bytes(whole[:12] + b"junk\0\0\0\0" * chunks + whole[12:])
        if chunks == 2:
            assert probe(path).frames == RATE
    assert "a thousand chunks" in refused("unreadable", path, call=probe)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_samples(tmp_path, bad):
    wave = sine()
    wave[-1] = bad
    path = save(tmp_path / "a.wav", wave, kind=FORMATS["float.wav"])
    refused("non-finite", path)
    with pytest.raises(AudioFileError) as caught:
        write(tmp_path / "b.wav", wave, RATE)
    assert caught.value.kind == "non-finite"


def test_compressed_silence_is_not_a_bomb(tmp_path):
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 4000, 1) as file:
        for _ in range(int(MAX_SECONDS) // 60 + 1):
            file.write(np.zeros(60 * 4000, np.int16))
    assert path.stat().st_size < 50_000
    assert "1860 s to decode, at most 1800 s" in refused("too-long", path)
    assert len(read(path, 4000, offset=1000, max_seconds=1)) == 4000


def test_lying_flac_header_takes_no_memory(tmp_path):
    path = save(tmp_path / "a.flac", sine(192000), 192000, FORMATS["a.flac"])
    data = bytearray(path.read_bytes())
    data[22:26] = (300_000_000).to_bytes(4, "big")  # 26 minutes of the 192 kHz
    path.write_bytes(data)
    tracemalloc.start()
    refused("truncated", path, call=probe)
    refused("truncated", path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_writes_clipped_16_bit(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    wave = np.array([0, 0.5, 1, 1.5, -1, -3, 1 / 32767, 1e-9])
    write(path, wave, RATE)
    stored, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE
    assert stored.tolist() == [0, 16384, 32767, 32767, -32767, -32767, 1, 0]
    assert soundfile.info(path).subtype == "PCM_16"
    write(path, sine(), RATE)  # over the old one
    np.testing.assert_allclose(read(path, RATE), sine(), atol=1 / 16000)
    assert os.listdir(tmp_path) == [path.name]


def test_write_refuses(tmp_path):
    for name, wave, rate, message in [
        ("a.ogg", sine(), RATE, r"can write .wav and .flac files, not '.ogg'"),
        ("a.wav", np.zeros((2, 9)), RATE, r"expected samples \[N\], got shape \(2, 9"),
        ("a.wav", np.zeros(0), RATE, r"expected samples \[N\], got shape \(0,\)"),
        ("a.wav", sine(), 1000, "sample rate 1000 Hz"),
        ("no/a.wav", sine(), RATE, "cannot write .*: No such file or directory"),
    ]:
        with pytest.raises(UserError, match=message):
            write(tmp_path / name, wave, rate)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("os.replace", OSError(28, "No space left on device"), "No space left"),
        ("soundfile.SoundFile.write", soundfile.LibsndfileError(2), "disk full"),
    ],
)
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step, error, message):
    path = tmp_path / "a.wav"
    write(path, sine(), RATE)
    before = path.read_bytes()

    def full(*_):
        raise error

    monkeypatch.setattr(step, full)
    with pytest.raises(UserError, match=f"cannot write .*: .*{message}"):
        write(path, sine(hertz=880), RATE)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("rate", [RATE, 8000, 22_050])
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_blocks_are_the_whole_file(tmp_path, monkeypatch, rate, name):
    monkeypatch.setattr("diffusion_audio.audio.files.BLOCK", 1000)
    path = tmp_path / name
    write(path, sine(), RATE)
    pieces = list(blocks(path, rate))
    assert len(pieces) > 3
    np.testing.assert_allclose(np.concatenate(pieces), read(path, rate), atol=1e-6)


def test_written_in_blocks_is_written_at_once(tmp_path):
    wave = sine()
    write(tmp_path / "a.wav", wave, RATE)
    write_blocks(tmp_path / "b.wav", np.array_split(wave, 7), RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_blocks_of_what_is_too_short_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(1), 48_000)
    with pytest.raises(AudioFileError, match="too short to make one sample"):
        list(blocks(tmp_path / "a.wav", 4000))


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    path = tmp_path / os.fsdecode(b"fl\xfbte.wav")
    write(path, np.zeros(8), 16_000)
    assert os.listdir(os.fsencode(tmp_path)) == [b"fl\xfbte.wav"]


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".wav")
    write(path, np.zeros(8), 16_000)
    assert [*tmp_path.iterdir()] == [path]


def test_decoded_as_it_is(tmp_path):
    sound = np.stack([sine(), -0.5 * sine()], axis=1)
    soundfile.write(tmp_path / "a.flac", sound, RATE)
    found, rate = decode(tmp_path / "a.flac")
    assert rate == RATE
    np.testing.assert_allclose(found, sound, atol=1e-4)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioFileError):
        decode(tmp_path / "b.flac")
