import json

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.named_protocol import ClipList
from diffusion_audio.evaluation.protocol import text_hash
from diffusion_audio.evaluation.scoring.clips import (
    find_clips,
    pair,
    read_captions,
    require_list,
)
from tests.evaluation.scoring.tiny import clips


def test_clips_are_found_at_any_depth_by_their_stems(tmp_path):
    clips(tmp_path / "deep" / "er", ["b"])
    clips(tmp_path, ["a"])
    found = find_clips(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["b"] == tmp_path / "deep" / "er" / "b.wav"
    clips(tmp_path / "other", ["a"])
    with pytest.raises(UserError, match=r"'a.wav', 'other/a.wav' have the key 'a'"):
        find_clips(tmp_path)


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no audio"):
        find_clips(tmp_path)
    with pytest.raises(UserError, match="expected a folder"):
        find_clips(tmp_path / "nowhere")


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_captions_are_those_of_the_stems_of_the_files_that_rows_name(tmp_path):
    table = written(tmp_path / "c.csv", "file_name,caption\nx/b.wav,two\na.flac,one\n")
    assert read_captions(table) == {"a": "one", "b": "two"}
    data = {"data": [{"wav": "/there/Y1.wav", "caption": "rain"}]}  # as AudioLDM's list
    assert read_captions(written(tmp_path / "c.json", json.dumps(data))) == {
        "Y1": "rain"
    }


def test_captions_are_those_of_a_declared_column(tmp_path):
    table = written(
        tmp_path / "c.tsv", "id\tcaption\nY--0.w1\tpeople\n103549\tengine\n"
    )
    assert read_captions(table, "id") == {"103549": "engine", "Y--0.w1": "people"}
    with pytest.raises(UserError, match=r"unknown column.*did you mean 'id'"):
        read_captions(table, "ids")
    with pytest.raises(UserError, match="expected the columns"):
        read_captions(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,caption\na.wav,\n", "one caption of 'a', got none"),
        ("file_name,caption\na.wav,x\na.flac,y\n", "one caption of 'a', got several"),
        ("file_name,caption_1,caption_2\na.wav,x,y\n", "got several"),
        ("file_name,caption\na.wav,x\n,y\n", "expected text as 'file_name'"),
    ],
)
def test_a_clip_has_one_caption(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_captions(written(tmp_path / "c.csv", text))


def test_pairs_are_of_equal_keys_only():
    keys, unpaired = pair("ab", "ab", {"a": "", "b": ""}, leave_out=False)
    assert (keys, any(unpaired)) == (["a", "b"], False)
    keys, unpaired = pair("abc", "bcd", None, leave_out=True)
    assert keys == ["b", "c"]
    assert (unpaired.generated, unpaired.reference) == (("a",), ("d",))
    with pytest.raises(UserError, match=r"1 of generated: 'a'; 1 of reference: 'd'"):
        pair("abc", "bcd", None, leave_out=False)
    with pytest.raises(UserError, match="no clip has a counterpart"):
        pair("ab", "cd", None, leave_out=True)


def test_another_list_than_the_protocols_is_named():
    ids = ClipList(2, text_hash(["a", "b"]), "a letter, as a")
    assert require_list("mine", ids, ["b", "a"]) == ids.hash
    message = "'mine' is of 2 clips.*got 2 with.*such as 'a' and 1 more.*a letter"
    with pytest.raises(UserError, match=message):
        require_list("mine", ids, ["a", "c"])
    with pytest.raises(UserError, match="got 3"):
        require_list("mine", ids, ["a", "b", "c"])


def test_a_list_without_a_hash_is_known_by_its_number():
    ids = ClipList(2, None, "a letter")
    assert require_list("mine", ids, ["b", "x"]) == text_hash(["b", "x"])
    with pytest.raises(UserError, match="got 1"):
        require_list("mine", ids, ["b"])
