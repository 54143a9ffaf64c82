"""What is printed, in locales that cannot say it."""

import io
import sys

import pytest

from diffusion_audio.cli import streams


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("utf-8", "fl\u00fbte.wav", b"fl\xc3\xbbte.wav"),
        ("utf-8", "fl\udcfbte.wav", b"fl\xfbte.wav"),  # a name that is no text
        ("ascii", "fl\udcc3\udcbbte.wav", b"fl\xc3\xbbte.wav"),  # as Python reads it
        ("ascii", "fl\u00fbte.wav", b"fl\\xfbte.wav"),
        ("iso8859-1", "\u266d.wav", b"\\u266d.wav"),
        ("utf-8", "half \ud800", b"half \\ud800"),
    ],
)
def test_every_path_and_text_is_printed(monkeypatch, encoding, text, printed):
    made = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(made, encoding=encoding))
    streams.print_anything()
    sys.stdout.write(text)
    sys.stdout.flush()
    assert made.getvalue() == printed


def test_another_stdout_is_left_alone(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    streams.print_anything()
