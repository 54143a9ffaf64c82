"""Forms of metadata files, and the line that names each mistake in one."""

import json
from pathlib import Path

import pytest

from diffusion_audio.data.metadata import read_table
from diffusion_audio.errors import UserError
from tests.data.folders import write


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "m.csv",
            [
                'file_name,caption,"mood"',
                'a.wav,"one, loud",sad',
                "",
                "b.flac,two,glad",
                ",,",
            ],
        ),
        (
            "m.jsonl",
            [
                {"file_name": "a.wav", "caption": "one, loud", "mood": "sad"},
                "",
                {"file_name": "b.flac", "caption": "two", "mood": "glad", "n": 3},
            ],
        ),
        (
            "m.tsv",
            ["file_name\tcaption\tmood", "a.wav\tone, loud\tsad", "b.flac\ttwo\tglad"],
        ),
        (
            "m.csv",
            [
                "sep=;",
                "file_name;caption;mood",
                "a.wav;one, loud;sad",
                "b.flac;two;glad",
            ],
        ),
        (
            "m.csv",
            [",file_name,caption,mood", '0,a.wav,"one, loud",sad', "1,b.flac,two,glad"],
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_captions_and_attributes_are_read(
    tmp_path: Path, name: str, lines: list, encoding: str, end: str
) -> None:
    path = write(tmp_path / name, *lines)
    text = path.read_text(encoding="utf-8")
    path.write_text(text, encoding=encoding, newline=end)
    table = read_table(path)
    assert [row[:3] for row in table.rows] == [
        ("a.wav", ("one, loud",), {"mood": "sad"}),
        ("b.flac", ("two",), {"mood": "glad"}),
    ]
    assert not table.taken
    assert not table.unused


@pytest.mark.parametrize("file", ["audio", "Path", "FileName", "audio-path", " file "])
@pytest.mark.parametrize("caption", ["Text", "description", "prompt", "sentence"])
def test_other_names_of_columns_are_read_and_said(
    tmp_path: Path, file: str, caption: str
) -> None:
    path = write(tmp_path / "metadata.csv", f"{file},{caption},label", "a.wav,one,x")
    table = read_table(path)
    assert table.rows[0][:3] == ("a.wav", ("one",), {"label": "x"})
    assert table.taken == (
        f"{path}: {file.strip()!r} is read as the file name, {caption!r} is read as "
        f"the caption",
    )


@pytest.mark.parametrize("caption", ["caption", "text"])
def test_other_columns_of_captions_are_named(tmp_path: Path, caption: str) -> None:
    header = f"file_name,{caption},Caption long,label"
    table = read_table(write(tmp_path / "metadata.csv", header, "a.wav,one,long,x"))
    assert table.rows[0].captions == ("one",)
    assert table.unused == (
        f"'Caption long' in {tmp_path}/metadata.csv: the captions are in {caption!r}",
    )


def test_captions_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    row = {"file_name": "a.wav"} | {f"caption_{i}": str(i) for i in (10, 9, 2)}
    assert read_table(write(tmp_path / "m.jsonl", row)).rows[0].captions == (
        ("2", "9", "10")
    )


@pytest.mark.parametrize("value", [None, [None], "", []])
def test_json_may_say_that_there_is_no_caption(tmp_path: Path, value: object) -> None:
    path = write(tmp_path / "m.jsonl", GOOD, {"file_name": "b.wav", "caption": value})
    assert [row.captions for row in read_table(path).rows] == [("x",), ("",)]


def test_rows_by_file_name(tmp_path: Path) -> None:
    rows = {"a.wav": {"caption": "x", "mood": "sad"}, "b.wav": ["y", "z"]}
    assert [row[:3] for row in read_table(write(tmp_path / "m.json", rows)).rows] == [
        ("a.wav", ("x",), {"mood": "sad"}),
        ("b.wav", ("y", "z"), {}),
    ]


GOOD = {"file_name": "a.wav", "caption": "x"}
HEADER = "file_name,caption\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "name,caption\na.wav,x", "line 1: expected the columns 'file_n"),
        ("m.csv", "file_name,words\na.wav,x", "no 'caption' .*'words'.: call the one"),
        ("m.csv", "path,file,text\na,a,x", "'path', 'file' could each be 'file_name'"),
        (
            "m.csv",
            "path,text,prompt\na,a,x",
            "'text', 'prompt' could each be 'caption'",
        ),
        ("m.csv", "file_name,caption,caption\na,a,x", "'caption' is there twice"),
        ("m.csv", "a.wav,one\nb.wav,two", "line 1: this is a clip already: put a line"),
        ("m.csv", "a.wav;one\nb.wav;two", "line 1: this is a clip already"),
        ("m.csv", "a.wav|I, he|you\nb.wav|two|2", "line 1: this is a clip already"),
        ("m.csv", "", "got nothing"),
        ("m.csv", HEADER + "a.wav", "line 2: expected text as 'capti.* 1 fie"),
        ("m.csv", HEADER + ",x", "line 2: expected text as 'file_name', got nothing"),
        ("m.csv", HEADER + "\n\n ,x", "line 4: expected text as 'file_name'"),
        ("m.csv", HEADER + "a.wav,x,y", "line 2: more fields than columns.*commas"),
        ("m.tsv", "file\tcaption\na.wav\tx\ty", "line 2: more fields .*has tabs"),
        ("m.csv", HEADER + 'a.wav,"x', 'end of data: put .* quotes in "quot'),
        ("m.csv", HEADER + f"a.wav,{'x' * 200_000}", "field larger than"),
        ("m.csv", HEADER.encode() + b"\na.wav,\xff", "not UTF-8 text: .* in line 3"),
        ("m.csv", HEADER.encode("utf-16-le"), "not UTF-8 text: it holds zeros"),
        ("m.csv", HEADER + f"a.wav,{'x' * 1001}", "of 1001 characters"),
        ("m.jsonl", '{"file_name": "a.wav"}', "line 1: no 'caption'"),
        ("m.jsonl", '{"caption": "x"}', "line 1: expected the columns 'file_name'"),
        ("m.jsonl", json.dumps(GOOD) + "\n{oops", "line 2: not JSON"),
        ("m.jsonl", "[1, 2]", "line 1: expected a JSON object"),
        ("m.jsonl", json.dumps(GOOD | {"caption": 3}), "'caption', got 3"),
        ("m.jsonl", json.dumps(GOOD | {"caption": ["a", 3]}), "'caption', got 3"),
        ("m.jsonl", json.dumps(GOOD | {"file_name": {"a": 1}}), "'file_name', got {"),
        ("m.jsonl", "[" * 100_000, "line 1: not JSON"),
        (
            "m.jsonl",
            '{"file_name": "a", "caption": "x", "caption": "y"}',
            "'caption' is",
        ),
        (
            "m.json",
            '{"a.wav": "x", "b.wav": "y", "a.wav": "z"}',
            "'a.wav' is there twi",
        ),
        ("m.json", "{}\n{}", "Extra data.*: rows of a line each are a .jsonl"),
        ("m.json", "3", "expected a JSON object"),
        ("m.json", '{"rows": []}', 'expected {"data"'),
        ("m.json", '{"data": [{"caption": "x"}]}', r"data\[0\]: expected the columns"),
        ("m.json", "[3]", r"\[0\]: expected a JSON object"),
    ],
)
def test_mistakes_name_file_line_and_what_is_expected(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as raised:
        read_table(path)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
