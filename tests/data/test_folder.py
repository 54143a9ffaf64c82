import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.data import folder, pipeline
from diffusion_audio.data.metadata import MAX_CAPTION, clean_caption
from diffusion_audio.data.source import open_source
from diffusion_audio.errors import UserError

RATE = 16_000


def sound(
    path: Path, seconds: float = 0.1, rate: int = RATE, channels: int = 1
) -> None:
    """A ramp from 0 to 0.5: the value tells the place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.linspace(0, 0.5, round(seconds * rate), dtype=np.float32)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.flac", "sub/c.wav"):
        sound(tmp_path / name)
    return tmp_path


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


AUDIOLDM = {
    "data": [
        {"wav": "a.wav", "caption": "one", "labels": ["x"]},
        {"wav": "b.flac", "caption": "two"},
        {"wav": "sub/c.wav", "caption_1": "three", "caption_2": "drei", "seg": "t"},
    ]
}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "metadata.csv",
            [
                'file_name,caption,"mood"',
                'a.wav,"one, loud",sad',
                "b.flac,two,glad",
                "sub/c.wav,three,sad",
            ],
        ),
        (
            "metadata.jsonl",
            [
                {"file_name": "a.wav", "caption": "one, loud", "mood": "sad"},
                "",
                {"file_name": "b.flac", "caption": "two", "mood": "glad", "n": 3},
                {"file_name": "sub/c.wav", "caption": "three", "mood": "sad"},
            ],
        ),
    ],
)
def test_captions_and_attributes_are_read(clips: Path, name: str, lines: list) -> None:
    write(clips / name, *lines)
    entries = folder.list_entries(clips)
    assert [e.name for e in entries] == ["a.wav", "b.flac", "sub/c.wav"]
    assert [e.captions for e in entries] == [("one, loud",), ("two",), ("three",)]
    assert [e.attributes["mood"] for e in entries] == ["sad", "glad", "sad"]
    train = open_source(f"folder:{clips}", "train", RATE)
    held = open_source(f"folder:{clips}", "validation", RATE)
    assert (len(train), len(held)) == (2, 1)
    assert train.attributes == held.attributes == {"mood": ("glad", "sad")}
    assert len(train[0]["audio"]) == 1600


def test_audioldm_json_with_several_captions(clips: Path) -> None:
    path = write(clips / "anything.json", AUDIOLDM)
    entries = folder.list_entries(path)
    assert entries[2].captions == ("three", "drei")
    assert entries[2].attributes == {"seg": "t"}
    source = folder.FolderSource("", entries, {}, RATE)
    assert source.captions() == ["one", "two", "three", "drei"]
    rng = np.random.default_rng(0)
    drawn = {source.draw(2, 100, rng)["caption"] for _ in range(20)}
    assert drawn == {"three", "drei"}
    assert source[2]["caption"] == "three"


def test_without_metadata_every_audio_file_is_a_clip(clips: Path) -> None:
    sound(clips / ".trash" / "no.wav")
    write(clips / "notes.txt", "no audio")
    entries = folder.list_entries(clips)
    assert [e.name for e in entries] == ["a.wav", "b.flac", "sub/c.wav"]
    assert {e.captions for e in entries} == {("",)}


def test_the_split_column_decides(clips: Path) -> None:
    header = "file_name,caption,split"
    rows = [f"{n},x,{s}" for n, s in (("a.wav", "train"), ("b.flac", "test"))]
    write(clips / "metadata.csv", header, *rows)
    assert [c.split for c in folder.list_entries(clips)] == ["train", "test"]
    assert len(open_source(f"folder:{clips}", "test", RATE)) == 1
    with pytest.raises(
        UserError, match=r"unknown split .* 'validation' \(known: test,"
    ):
        open_source(f"folder:{clips}", "validation", RATE)
    write(clips / "metadata.csv", header, *rows, "sub/c.wav,x,")
    with pytest.raises(UserError, match="line 4: expected a name such as 'train'"):
        folder.list_entries(clips)
    write(clips / "metadata.jsonl", {"file_name": "a.wav", "caption": "x"})
    (clips / "metadata.csv").unlink()
    with (clips / "metadata.jsonl").open("a") as file:
        file.write('\n{"file_name": "b.flac", "caption": "x", "split": "test"}')
    with pytest.raises(UserError, match=r"line 1: no split, though .*line 2 has one"):
        folder.list_entries(clips)


def test_a_file_keeps_its_split_when_others_come(tmp_path: Path) -> None:
    def splits(count: int) -> dict[str, str]:
        names = [{"file_name": f"{i}.wav", "caption": ""} for i in range(count)]
        path = write(tmp_path / "metadata.jsonl", *names)
        return {e.name: e.split for e in folder.list_entries(path)}

    few, many = splits(400), splits(800)
    assert few.items() <= many.items()
    assert 0.02 < list(many.values()).count("validation") / 800 < 0.08
    assert sorted(splits(2).values()) == ["train", "validation"]
    assert splits(1) == {"0.wav": "train"}


def test_any_rate_and_channels_come_as_mono_at_one_rate(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", seconds=0.5, rate=44_100, channels=2)
    wave = open_source(f"folder:{tmp_path}", "train", RATE)[0]["audio"]
    assert wave.shape == (8000,)
    np.testing.assert_allclose(
        wave[100:-100], np.linspace(0, 0.5, 8000)[100:-100], atol=1e-3
    )


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_only_the_crop_is_decoded(tmp_path: Path, monkeypatch, rate: int) -> None:
    sound(tmp_path / "a.flac", seconds=20, rate=rate)
    source = open_source(f"folder:{tmp_path}", "train", RATE)
    decoded = []
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, frames: int = -1, *args, **kwargs):
        decoded.append(frames)
        return read(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    rng = np.random.default_rng(1)
    waves = [source.draw(0, 1600, rng)["audio"] for _ in range(50)]
    assert max(decoded) < rate  # the crop and what a decoder needs before it
    assert {len(wave) for wave in waves} == {1600}
    places = np.array([wave[800] for wave in waves]) / 0.5
    assert places.min() < 0.1
    assert places.max() > 0.9


def test_short_clips_are_padded(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    clip = open_source(f"folder:{tmp_path}", "train", RATE).draw(
        0, 2000, np.random.default_rng(0)
    )
    assert clip["audio"].shape == (2000,)
    assert not clip["audio"][1600:].any()


def test_bad_files_change_nothing_for_the_others(tmp_path: Path) -> None:
    for i in range(12):
        sound(tmp_path / f"{i:02d}.wav", seconds=0.3)

    def stream() -> list[float]:
        source = open_source(f"folder:{tmp_path}", "train", RATE)
        batches = pipeline.batches(
            source, batch_size=1, samples=200, seed=3, repeat=False
        )
        return [float(batch["audio"].sum()) for batch in batches]

    good = stream()
    bad = tmp_path / "05.wav"
    bad.write_bytes(bad.read_bytes()[:2000])
    left = stream()
    assert len(left) == len(good) - 1
    assert [value for value in good if value in left] == left


@pytest.mark.parametrize(
    "name", ["../a.wav", "/etc/passwd", "sub/../../x.wav", "link.wav", "dir/x.wav", "."]
)
def test_no_path_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    sound(tmp_path / "outside" / "x.wav")
    sound(root / "in.wav")
    (root / "link.wav").symlink_to(tmp_path / "outside" / "x.wav")
    (root / "dir").symlink_to(tmp_path / "outside")
    write(root / "metadata.jsonl", {"file_name": name, "caption": "x"})
    with pytest.raises(UserError, match=r"line 1: .* leads out of the folder"):
        folder.list_entries(root)


def test_a_link_within_the_folder_is_fine(clips: Path) -> None:
    (clips / "again.wav").symlink_to(clips / "a.wav")
    assert len(folder.list_entries(clips)) == 4


GOOD = {"file_name": "a.wav", "caption": "x"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "metadata.csv",
            "file,caption\na.wav,x",
            "line 1: expected the columns 'file_n",
        ),
        ("metadata.csv", "file_name,text\na.wav,x", "got 'file_name', 'text'"),
        ("metadata.csv", "", "got nothing"),
        ("metadata.csv", "file_name,caption\na.wav", "line 2: expected text as 'capti"),
        (
            "metadata.csv",
            "file_name,caption\n,x",
            "line 2: expected text as 'file_name'",
        ),
        (
            "metadata.csv",
            "file_name,caption\na.wav,x,y",
            "line 2: more fields than colu",
        ),
        (
            "metadata.csv",
            f"file_name,caption\na.wav,{'x' * 200_000}",
            "field larger than",
        ),
        ("metadata.csv", b"file_name,caption\na.wav,\xff", "is not UTF-8 text"),
        (
            "metadata.csv",
            f"file_name,caption\na.wav,{'x' * 1001}",
            "of 1001 characters",
        ),
        ("metadata.csv", "file_name,caption\nno.wav,x", "line 2: no file .*no.wav'"),
        (
            "metadata.csv",
            "file_name,caption\na.wav,x\na.wav,y",
            "is already at .*line 2",
        ),
        ("metadata.jsonl", '{"file_name": "a.wav"}', "line 1: no 'caption'"),
        ("metadata.jsonl", '{"caption": "x"}', "line 1: expected text as 'file_name'"),
        ("metadata.jsonl", json.dumps(GOOD) + "\n{oops", "line 2: not JSON"),
        ("metadata.jsonl", "[1, 2]", "line 1: expected a JSON object"),
        ("metadata.jsonl", json.dumps(GOOD | {"caption": 3}), "'caption', got 3"),
        ("metadata.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("metadata.json", "[]", "expected a JSON object"),
        ("metadata.json", '{"rows": []}', 'expected {"data"'),
        ("metadata.json", '{"data": [{"caption": "x"}]}', r"data\[0\]: expected text"),
        ("metadata.json", '{"data": []}', "holds no clips"),
    ],
)
def test_mistakes_name_file_line_and_what_is_expected(
    clips: Path, name: str, text: str | bytes, message: str
) -> None:
    (clips / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as raised:
        open_source(f"folder:{clips}", "train", RATE)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_wrong_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        open_source(f"folder:{tmp_path / 'no'}")
    with pytest.raises(UserError, match="holds no clips"):
        open_source(f"folder:{tmp_path}")
    write(tmp_path / "list.txt", "a.wav")
    with pytest.raises(UserError, match=r"expected a metadata file \.csv"):
        open_source(f"folder:{tmp_path / 'list.txt'}")
    write(tmp_path / "metadata.csv")
    write(tmp_path / "metadata.jsonl")
    with pytest.raises(UserError, match=r"metadata\.csv and metadata\.jsonl: keep one"):
        open_source(f"folder:{tmp_path}")


@pytest.mark.parametrize("spec", ["tone", "tones:x", "folder:", "tfds:", ""])
def test_unknown_sources_are_named(spec: str) -> None:
    with pytest.raises(UserError, match="data source"):
        open_source(spec)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("e\u0301tude\tfor\r\n piano ", "\u00e9tude for piano"),
        ("a\0b\x1b[31mc\u202ed", "ab[31mcd"),
        ("lone \ud800 half", "lone half"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_captions_are_cleaned(text: str, clean: str) -> None:
    assert clean_caption(text, "here") == clean


def test_caption_length_is_capped() -> None:
    assert clean_caption("x" * MAX_CAPTION, "here")
    with pytest.raises(UserError, match="here: a caption of 1001 characters"):
        clean_caption("x" * (MAX_CAPTION + 1), "here")
