"""Names that are no file, and files of which every byte may be wrong."""

import contextlib
import os
import socket
import stat

import hypothesis
import hypothesis.strategies as st
import pytest

from diffusion_audio.audio.files import AudioFileError, probe, read
from diffusion_audio.audio.raw import Window, open_raw
from tests.audio.encoded import chirp, encode


def refused(kind, path):
    with pytest.raises(AudioFileError) as caught:
        probe(path)
    assert caught.value.kind == kind
    text = str(caught.value)
    assert "\n" not in text
    assert len(text.encode("utf-8")) < 1000
    return text


def test_what_is_no_regular_file(tmp_path, monkeypatch):
    """None of them is opened: a pipe would be waited for, a device may act."""
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkdir(tmp_path / "folder.wav")
    os.symlink("pipe.wav", tmp_path / "link.wav")
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.wav")
        monkeypatch.setattr("os.open", None)
        for name, word in (
            ("pipe.wav", "a pipe"),
            ("link.wav", "a pipe"),
            ("folder.wav", "a directory"),
            ("socket.wav", "a socket"),
            ("/dev/null", "a device"),
        ):
            assert f"is {word}; expected a regular file" in refused("unreadable", name)


def test_a_pipe_that_comes_in_between_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"")
    regular = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr("os.stat", lambda _: regular)
    assert stat.S_ISREG(regular.st_mode)
    assert "is a pipe" in refused("unreadable", path)


def test_what_is_not_there(tmp_path):
    assert "no such file" in refused("missing", tmp_path / "none.wav")
    (tmp_path / "a.wav").write_bytes(b"1")
    assert "no such file" in refused("missing", tmp_path / "a.wav" / "b.wav")
    os.symlink("gone.wav", tmp_path / "dangling.wav")
    assert "a link to 'gone.wav'" in refused("missing", tmp_path / "dangling.wav")
    os.symlink("loop.wav", tmp_path / "loop.wav")
    assert "symbolic links" in refused("unreadable", tmp_path / "loop.wav")


def test_names_that_cannot_be(tmp_path):
    assert "File name too long" in refused("unreadable", "x" * 5000 + ".wav")
    assert "null byte" in refused("unreadable", "a\0.wav")
    assert refused("missing", "a\nb.wav").startswith(r"'a\nb.wav'")
    bad = tmp_path / os.fsdecode(b"\xff\xfe.wav")
    assert r"\udcff\udcfe.wav" in refused("missing", bad)
    bad.write_bytes(encode("WAV PCM_16", chirp(8000, 0.1), 8000))
    assert probe(bad).frames == 800


def test_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"1")

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", forbidden)
    assert "cannot be opened: Permission denied" in refused("unreadable", path)


def test_slices_and_windows_are_those_of_bytes(tmp_path):
    path = tmp_path / "a"
    content = bytes(range(256)) * 700
    path.write_bytes(content)
    with open_raw(path) as (data, _):
        assert len(data) == len(content)
        for start, stop in ((0, 4), (70_000, 70_004), (3, 150_000), (9, 5), (-3, None)):
            assert data[start:stop] == content[start:stop]
        for pattern, start in ((b"\x01\x02", 2), (b"\xff\x00", 65_400), (b"no", 0)):
            assert data.find(pattern, start) == content.find(pattern, start)
        window = Window(data, 100, 200, head=b"head")
        expected = b"head" + content[104:200]
        assert window.seek(0, os.SEEK_END) == 100
        assert window.seek(2) == 2
        assert window.read(10) == expected[2:12]
        assert window.tell() == 12
        assert window.read(1000) == expected[12:]
        assert window.read(1) == b""


RATE = 8000
FILES = [
    encode(kind, chirp(RATE, 0.4), RATE)
    for kind in (
        *("WAV PCM_16", "RF64 PCM_16", "W64 FLOAT", "AIFF PCM_16", "AIFF FLOAT"),
        *("AU PCM_16", "CAF PCM_16", "FLAC PCM_16", "OGG VORBIS", "OGG OPUS"),
        "MP3 MPEG_LAYER_III",
    )
]


@hypothesis.settings(
    max_examples=250,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path, data):
    """Bytes changed, left out, repeated, cut: never another error."""
    content = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 4))):
        # Mostly in headers.
        place = data.draw(st.one_of(st.integers(0, 100), st.integers(0, len(content))))
        length = data.draw(st.integers(0, 50))
        new = data.draw(st.binary(max_size=12))
        kind = data.draw(st.sampled_from(("change", "insert", "repeat", "cut")))
        if kind == "change":
            content[place : place + len(new)] = new
        elif kind == "insert":
            content[place : place + length] = new
        elif kind == "repeat":
            content += content[place : place + length * 100]
        else:
            del content[place + length * 200 :]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with contextlib.suppress(AudioFileError):
        info = probe(path)
        assert len(read(path, info.sample_rate)) == info.frames
