"""Every layout of a folder that is read, and what of it is said to be left."""

from pathlib import Path

import pytest

from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.data.listing import Listing, list_folder
from diffusion_audio.data.walk import FOREIGN
from diffusion_audio.errors import UserError
from tests.data.folders import touch, write

NAMES = ("a.wav", "b.flac", "sub/c.wav")
AUDIOLDM = {
    "data": [
        {"wav": "a.wav", "caption": "one", "labels": ["x"]},
        {"wav": "b.flac", "caption": "two"},
        {"wav": "sub/c.wav", "caption_1": "three", "caption_2": "drei", "seg": "t"},
    ]
}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return touch(tmp_path, *NAMES)


def captions(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {entry.name: entry.captions for entry in listing.entries}


def splits(place: Path) -> dict[str, str]:
    return {entry.name: entry.split for entry in list_folder(place).entries}


ONE_TWO_THREE = {"a.wav": ("one",), "b.flac": ("two",), "sub/c.wav": ("three",)}
SEVERAL = {"a.wav": ("one", "eins"), "b.flac": ("two",), "sub/c.wav": ("three",)}


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.CSV", "METADATA.tsv"])
def test_a_table_of_any_case(clips: Path, name: str) -> None:
    sign = "\t" if name.endswith("tsv") else ","
    rows = [sign.join((file, text)) for file, (text,) in ONE_TWO_THREE.items()]
    write(clips / name, sign.join(("file_name", "caption")), *rows)
    listing = list_folder(clips)
    assert captions(listing) == ONE_TWO_THREE
    assert not listing.unused
    assert not listing.taken


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "metadata.csv",
            [
                "file_name,caption_1,caption_2",
                "a.wav,one,eins",
                "b.flac,two,",
                "sub/c.wav,,three",
            ],
        ),
        (
            "metadata.csv",
            [
                "file_name,caption",
                "a.wav,one",
                "b.flac,two",
                "sub/c.wav,three",
                "./a.wav,eins",
                "b.flac,two",
            ],
        ),
        (
            "metadata.jsonl",
            [
                {"file_name": "a.wav", "captions": ["one", "eins"]},
                {"file_name": "b.flac", "caption": ["two"]},
                {"file_name": "sub/c.wav", "caption": "three"},
            ],
        ),
        (
            "metadata.json",
            [{"a.wav": ["one", "eins"], "b.flac": "two", "sub/c.wav": "three"}],
        ),
        (
            "metadata.json",
            [[{"file_name": n, "captions": list(c)} for n, c in SEVERAL.items()]],
        ),
    ],
)
def test_several_captions_a_clip(clips: Path, name: str, lines: list) -> None:
    write(clips / name, *lines)
    listing = list_folder(clips)
    assert captions(listing) == SEVERAL
    assert not listing.unused


def test_audioldm_json_by_any_name(clips: Path) -> None:
    listing = list_folder(write(clips / "anything.json", AUDIOLDM))
    assert captions(listing) == ONE_TWO_THREE | {"sub/c.wav": ("three", "drei")}
    assert listing.entries[2].attributes == {"seg": "t"}


def test_attributes_that_differ_between_rows_of_a_clip_are_named(clips: Path) -> None:
    rows = ["a.wav,one,x,1", "a.wav,eins,x,2", "b.flac,two,y,3"]
    write(clips / "metadata.csv", "file_name,caption,mood,number", *rows)
    listing = list_folder(clips)
    assert listing.entries[0].attributes == {"mood": "x"}
    assert any("'number': the rows of one clip differ" in n for n in listing.unused)


def test_texts_beside_the_clips(clips: Path) -> None:
    write(clips / "a.txt", "one", "", "eins")
    write(clips / "b.flac.TXT", "\ufefftwo ")
    write(clips / "sub" / "c.json", {"description": "three", "mood": "sad"})
    touch(clips, "d.wav")
    listing = list_folder(clips)
    assert captions(listing) == SEVERAL | {"d.wav": ("",)}
    assert [e.attributes for e in listing.entries if e.attributes] == [{"mood": "sad"}]
    assert listing.taken == ["captions are those of 3 texts beside the clips"]
    assert not listing.unused


def test_a_bad_text_is_a_fault_of_its_clip_alone(clips: Path) -> None:
    (clips / "a.txt").write_bytes("caf\u00e9".encode("latin-1"))
    write(clips / "b.txt", "x" * 1001)
    write(clips / "sub/c.json", "{")
    write(touch(clips, "d.wav") / "d.txt", "four")
    listing = list_folder(clips)
    details = [entry.fault.detail for entry in listing.entries if entry.fault]
    assert [e.name for e in listing.entries if not e.fault] == ["d.wav"]
    assert "a.txt' is not UTF-8 text" in details[0]
    assert "b.txt: a caption of 1001 characters" in details[1]
    assert "c.json: not JSON" in details[2]
    assert listing.taken[:1] == ["captions are those of one text beside the clips"]


def test_without_captions_every_audio_file_is_a_clip(clips: Path) -> None:
    every = {f"x{i}{suffix}" for i, suffix in enumerate(SUFFIXES)} | {"LOUD.WAV"}
    touch(clips, *every, "cover.png", "notes.md")
    listing = list_folder(clips)
    assert captions(listing) == dict.fromkeys(sorted({*NAMES, *every}), ("",))
    assert not listing.unused


def test_metadata_in_folders_that_are_splits(tmp_path: Path) -> None:
    """The layout of an audiofolder."""
    for split in ("train", "valid", "Test"):
        touch(tmp_path, f"{split}/a.wav", f"{split}/deep/b.wav")
        rows = [f"a.wav,{split} a", f"deep/b.wav,{split} b"]
        write(tmp_path / split / "metadata.csv", "file_name,text", *rows)
    listing = list_folder(tmp_path)
    assert captions(listing)["valid/deep/b.wav"] == ("valid b",)
    assert splits(tmp_path) == {
        "Test/a.wav": "test",
        "Test/deep/b.wav": "test",
        "train/a.wav": "train",
        "train/deep/b.wav": "train",
        "valid/a.wav": "validation",
        "valid/deep/b.wav": "validation",
    }
    assert any("'text' is read as the caption" in line for line in listing.taken)
    assert "the splits are those of the folders: test, train, validation" in (
        listing.taken
    )
    assert not listing.unused


@pytest.mark.parametrize("layout", ["texts", "root", "nothing"])
def test_folders_are_splits_wherever_the_captions_are(
    tmp_path: Path, layout: str
) -> None:
    names = ("data/train/a.wav", "data/dev/b.wav")
    touch(tmp_path, *names)
    if layout == "texts":
        write(tmp_path / "data/dev/b.txt", "x")
    if layout == "root":
        rows = [f"{name},x" for name in (*names, "../out.wav")]
        write(tmp_path / "metadata.csv", "file_name,caption", *rows)
    found = splits(tmp_path)
    assert [found[name] for name in names] == ["train", "validation"]


def test_folders_are_no_splits_if_clips_lie_outside_them(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{i}.wav" for i in range(3)), "loose.wav")
    [line] = list_folder(tmp_path).unused
    assert line == (
        "folders as splits (train): there are clips outside them: 'loose.wav'"
    )
    assert set(splits(tmp_path).values()) == {"train", "validation"}


@pytest.mark.parametrize(
    "folders",
    [
        ("train-clean-100", "dev-clean"),
        ("my_train", "holdout/test_2"),
        ("TRAIN1", "x-val"),
    ],
)
def test_folders_that_only_look_like_splits_are_named(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    touch(tmp_path, *(f"{folder}/a.wav" for folder in folders))
    [line] = list_folder(tmp_path).unused
    assert line.endswith("as splits: call them train, validation, test")
    assert all(repr(folder.split("/")[-1]) in line for folder in folders)


@pytest.mark.parametrize("folder", ["train-station", "test-tone/train-horn", "a"])
def test_sounds_of_trains_are_no_splits(clips: Path, folder: str) -> None:
    assert not list_folder(touch(clips, f"{folder}/x.wav")).unused


@pytest.mark.parametrize("name", ["eval", "Evaluation", "test", "testing"])
def test_what_is_not_trained_with_is_test_as_for_the_hub(
    tmp_path: Path, name: str
) -> None:
    listing = list_folder(touch(tmp_path, "train/a.wav", "val/b.wav", f"{name}/c.wav"))
    assert [entry.split for entry in listing.entries if entry.name[-5] == "c"] == [
        "test"
    ]


def test_the_split_column_decides_before_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.wav", "test/b.wav")
    rows = ["train/a.wav,x,VAL", "test/b.wav,x,fold2"]
    write(tmp_path / "metadata.csv", "file_name,caption,Split", *rows)
    assert splits(tmp_path) == {"train/a.wav": "validation", "test/b.wav": "fold2"}


def test_a_column_that_looks_like_splits_is_named(clips: Path) -> None:
    rows = ["a.wav,x,train,dev", "b.flac,x,Test,sad"]
    write(clips / "metadata.csv", "file_name,caption,subset,mood", *rows)
    assert "'subset' as splits: call the column 'split'" in list_folder(clips).unused


def test_a_split_for_some_clips_only_is_a_mistake(clips: Path) -> None:
    header = "file_name,caption,split"
    write(clips / "metadata.csv", header, "a.wav,x,train", "sub/c.wav,x,")
    with pytest.raises(UserError, match="line 3: expected a name such as 'train'"):
        list_folder(clips)
    write(clips / "metadata.csv", header, "a.wav,x,train", "a.wav,y,test")
    with pytest.raises(UserError, match=r"line 3: 'a.wav' is of the split 'test', but"):
        list_folder(clips)
    (clips / "metadata.csv").unlink()
    row = {"file_name": "a.wav", "caption": "x"}
    other = {"file_name": "b.flac", "caption": "x", "split": "test"}
    write(clips / "metadata.jsonl", row, other)
    with pytest.raises(UserError, match=r"line 1: no split, though .*line 2 has one"):
        list_folder(clips)


def test_a_file_keeps_its_split_when_others_come(tmp_path: Path) -> None:
    def chance(count: int) -> dict[str, str]:
        rows = [{"file_name": f"{i}.wav", "caption": ""} for i in range(count)]
        return splits(write(tmp_path / "metadata.jsonl", *rows))

    few, many = chance(400), chance(800)
    assert few.items() <= many.items()
    assert 0.02 < list(many.values()).count("validation") / 800 < 0.08
    assert sorted(chance(2).values()) == ["train", "validation"]
    assert chance(1) == {"0.wav": "train"}


@pytest.mark.parametrize("rows", [["a.wav,x,train"], ["a.wav,x,test", "b.flac,x,fold"]])
def test_a_set_without_validation_says_how_to_train(clips: Path, rows: list) -> None:
    write(clips / "metadata.csv", "file_name,caption,split", *rows)
    first = rows[0].split(",")[-1]
    [line] = [n for n in list_folder(clips).taken if "no validation split" in n]
    assert line.endswith(f"give --config.data.evaluation_split={first}")


@pytest.mark.parametrize("suffix", [*sorted(FOREIGN)[:3], ".M4A"])
def test_what_cannot_be_decoded_is_named(clips: Path, suffix: str) -> None:
    touch(clips, *(f"sub/x{i}{suffix}" for i in range(5)))
    [line] = list_folder(clips).unused
    names = ", ".join(f"'sub/x{i}{suffix}'" for i in range(3))
    assert line.startswith(f"{names} and 2 more: of a format that cannot be decoded")


@pytest.mark.parametrize(
    "name", ["captions.json", "labels.csv", "x.ndjson", "sub/metadata.json"]
)
def test_what_may_be_captions_and_is_not_read_is_named(clips: Path, name: str) -> None:
    touch(clips, name)
    [line] = list_folder(clips).unused
    assert line.startswith(f"'{name}': captions are read from metadata.csv, .tsv,")
    assert str(clips / name) in line


def test_of_several_tables_none_is_to_take_the_place_of_all(clips: Path) -> None:
    [line] = list_folder(touch(clips, "train.csv", "test.csv")).unused
    assert line.startswith("'test.csv', 'train.csv': captions are read from")
    assert "put their rows into one, and rename it, or name the file" in line


@pytest.mark.parametrize(
    "name",
    [
        *("set.xlsx", "train.parquet", "a.caption", "sub/metadata", "captions.pkl"),
        *("my_captions.xml", "Metadata.csv.bak", "labels.toml", "wav.scp"),
    ],
)
def test_captions_in_other_forms_are_named(clips: Path, name: str) -> None:
    [line] = list_folder(touch(clips, name)).unused
    assert line == (
        f"'{name}': no captions are read from such a file: write them into a "
        "metadata.csv, or a .txt beside each clip"
    )


@pytest.mark.parametrize("name", ["README.md", "make_captions.py", "cover.jpg", "x"])
def test_what_is_neither_audio_nor_captions_is_not_named(
    clips: Path, name: str
) -> None:
    assert not list_folder(touch(clips, name)).unused


SOUNDS = {
    "x.bwf": b"RIFF\0\0\0\0WAVEfmt ",
    "x": b"fLaC\0\0\0\x22",
    "x.mpga": b"ID3\4",
    "x.ogx": b"OggS\0\2",
    "x.dat": b"\xff\xfb\x90\x44",
    "x.tmp": b"FORM\0\0\0\0AIFC",
}


@pytest.mark.parametrize("name", SOUNDS)
def test_audio_of_another_suffix_is_named(clips: Path, name: str) -> None:
    (clips / name).write_bytes(SOUNDS[name])
    [line] = list_folder(clips).unused
    assert line.startswith(f"'{name}': audio by its first bytes; give it its suffix")


def test_what_lies_beside_the_metadata_and_is_not_in_it_is_named(clips: Path) -> None:
    write(clips / "metadata.csv", "file_name,caption,text", "a.wav,one,eins")
    touch(clips, "captions.json", "sub/metadata.csv", "a.txt")
    listing = list_folder(clips)
    assert captions(listing) == {"a.wav": ("one",)}
    assert listing.unused == [
        f"'text' in {clips}/metadata.csv: the captions are in 'caption'",
        "'a.txt', 'captions.json', 'sub/metadata.csv': the captions are in "
        "'metadata.csv'",
        "'b.flac', 'sub/c.wav': not among those of 'metadata.csv'",
    ]


@pytest.mark.parametrize("name", ["more.tar", "sub/clips.zip", "metadata.csv.gz"])
def test_what_is_packed_is_named(clips: Path, name: str) -> None:
    [line] = list_folder(touch(clips, name)).unused
    assert line.startswith(f"'{name}': packed")


def test_a_text_without_a_clip_is_named(clips: Path) -> None:
    write(clips / "a.txt", "one")
    write(clips / "README.txt", "a set of sounds")
    touch(clips, "sub/c.json", "b.json")
    write(clips / "sub/c.json", {"rate": 16000})
    write(clips / "b.json", {"caption": "two"})
    write(clips / "b.txt", "zwei")
    listing = list_folder(clips)
    assert listing.unused == [
        "'README.txt': no clip of the same name lies beside",
        "'sub/c.json': no field of it is plainly the caption",
        "'b.json': captions are read from metadata.csv, .tsv, .jsonl or .json: rename "
        f"it, or name the file: folder:{clips}/b.json",
    ]


def test_hidden_audio_and_that_of_macos_are_named(clips: Path) -> None:
    touch(clips, ".trash/x.wav", "._a.wav", "__MACOSX/sub/._c.wav", ".metadata.csv")
    touch(clips, ".git/config", ".DS_Store", "Thumbs.db", "._metadata.csv")
    listing = list_folder(clips)
    assert list(captions(listing)) == [*NAMES]
    assert listing.unused == [
        "'._a.wav', '.metadata.csv', '.trash' and 1 more: hidden, or of macOS's own"
    ]


def test_wrong_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        list_folder(tmp_path / "no")
    with pytest.raises(UserError, match="no such folder"):
        list_folder("x" * 5000)
    with pytest.raises(UserError, match="holds no clips"):
        list_folder(tmp_path)
    touch(tmp_path, "a.m4a")
    with pytest.raises(UserError, match=r"holds no clips.*not used: 'a\.m4a': of a fo"):
        list_folder(tmp_path)
    write(tmp_path / "list.txt", "a.wav")
    with pytest.raises(UserError, match=r"expected a metadata file \.csv"):
        list_folder(tmp_path / "list.txt")
    touch(tmp_path, "metadata.csv", "Metadata.jsonl")
    with pytest.raises(UserError, match=r"Metadata\.jsonl and metadata\.csv: keep one"):
        list_folder(tmp_path)
