"""Prompts from files: in order, and what is no prompts file is one line."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation.prompts import read_prompts, read_transcripts

PROMPTS = ["rain, and wind", "a fl\u00fbte"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "rain, and wind\na fl\u00fbte\n"),
        ("a", "\ufeff rain, and wind \r\n\r\n \u200b\t\na fl\u00fbte"),
        ("a.txt", "rain, and wind\ra fl\u00fbte\r"),
        ("a.CSV", '\ufeffprompt\r\n"rain, and wind"\r\n\r\na fl\u00fbte\r\n'),
        ("metadata.csv", 'file_name,caption\na.wav,"rain, and wind"\nb,a fl\u00fbte'),
        ("a.csv", 'id, Prompt \n1,"rain, and wind"\n2,a fl\u00fbte'),
        ("a.tsv", "file\tcaption\nb\train, and wind\nc\ta fl\u00fbte\nd\t\n"),
        ("a.jsonl", '{"caption": "rain, and wind"}\n\n{"prompt": "a fl\\u00fbte"}'),
    ],
)
def test_prompts_come_in_order_without_empty_ones(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_prompts(tmp_path / name) == PROMPTS


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", "a.txt has no prompt; expected one a line"),
        ("a.txt", b"\xef\xbb\xbf\n  \n", "a.txt has no prompt"),
        ("a.txt", b"rain\na fl\xfbte\n", "a.txt, line 2: not UTF-8 text"),
        ("a.txt", "rain".encode("utf-16"), "a.txt, line 1: not UTF-8 text"),
        ("a.txt", "rain".encode("utf-16-le"), "a.txt is no text, or UTF-16"),
        ("a.csv", b"", "a.csv, line 1: expected prompt or caption, got nothing"),
        (
            "a.csv",
            b"text\nrain",
            "a.csv, line 1: expected prompt or caption, got 'text'",
        ),
        ("a.csv", b"prompt\nrain, wind\n", "a.csv, line 2: more fields than columns"),
        ("a.csv", b'prompt\n"rain', "a.csv, line 1: unexpected end of data"),
        ("a.jsonl", b"rain", "a.jsonl, line 1: not JSON"),
        ("a.jsonl", b'\n["rain"]', "a.jsonl, line 2: expected a JSON object"),
        ("a.jsonl", b'{"prompt": 3}', "a.jsonl, line 1: expected a prompt as text"),
        ("a.jsonl", b'{"text": "rain"}', "a.jsonl, line 1: expected prompt or caption"),
        ("index.json", b"{}", "not from .json"),
    ],
)
def test_what_is_no_prompts_file_is_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt': No such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(UserError, match="Is a directory"):
        read_prompts(tmp_path)


def test_transcripts_are_read_beside_prompts(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("caption,transcript\na man,Hello.\na woman,Good day.\n")
    assert read_transcripts(table) == ["Hello.", "Good day."]
    assert read_prompts(table) == ["a man", "a woman"]
    table.write_text("caption,transcript\na man,\na woman,Good day.\n")
    with pytest.raises(UserError, match="a row has no transcript"):
        read_transcripts(table)
    table.write_text("caption\na man\n")
    with pytest.raises(UserError, match="expected transcript or transcription, got"):
        read_transcripts(table)
    lines = tmp_path / "a.txt"
    lines.write_text("Hello.\n\nGood day.\n")
    assert read_transcripts(lines) == ["Hello.", "Good day."]
