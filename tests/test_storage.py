"""A file that is written is whole, or is the one that was there."""

import json
import os

import pytest

from diffusion_audio.storage import sealed, unsealed, write_whole, written_whole


@pytest.fixture
def path(tmp_path):
    """A file that is there, alone in its directory."""
    path = tmp_path / "a.json"
    path.write_text("old")
    return path


def alone(path):
    return os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("content", ["näu\n", "näu\n".encode()])
def test_text_and_bytes_take_the_place_of_what_was_there(path, content):
    write_whole(path, content)
    assert path.read_bytes() == "näu\n".encode()
    assert alone(path)


def test_until_the_end_the_old_file_is_there(path):
    with written_whole(path) as place:
        place.write_text("new")
        assert path.read_text() == "old"
        assert place.parent == path.parent  # so that it is one step to its name
    assert path.read_text() == "new"


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_what_is_stopped_half_way_leaves_the_old_file(path, stop):
    def write():
        with written_whole(path) as place:
            place.write_text("ne")
            raise stop

    with pytest.raises(stop):
        write()
    assert path.read_text() == "old"
    assert alone(path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_names_the_file_that_was_asked_for(path, monkeypatch, step):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert alone(path)


def test_a_folder_that_lacks_is_said_of_the_file(tmp_path):
    path = tmp_path / "no" / "a.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(path, "new")
    assert caught.value.filename == str(path)


def test_an_error_about_another_file_is_left_as_it_is(path, tmp_path):
    with pytest.raises(FileNotFoundError) as caught, written_whole(path):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_contents_are_on_the_disk_before_they_get_their_name(path, monkeypatch):
    steps = []
    for step in ("fsync", "replace"):
        usual = getattr(os, step)

        def noted(*inputs, step=step, usual=usual):
            steps.append(step)
            return usual(*inputs)

        monkeypatch.setattr(os, step, noted)
    write_whole(path, "new")
    assert steps == ["fsync", "replace"]


@pytest.mark.parametrize("letter", ["a", "ä", "漢"])
def test_a_name_may_be_as_long_as_names_can_be(tmp_path, letter):
    path = tmp_path / (letter * (255 // len(letter.encode())))
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_what_is_sealed_is_known_again_and_no_bit_of_it_may_change():
    value = {"a": (1, 2.5, None), "b": {3: "x"}, "c": "ä"}
    text = json.dumps(sealed(value)).encode()
    assert unsealed(json.loads(text)) == {
        "a": [1, 2.5, None],
        "b": {"3": "x"},
        "c": "ä",
    }
    for place in range(len(text)):
        data = bytearray(text)
        data[place] ^= 1 << place % 7
        try:
            found = json.loads(data)
        except ValueError:
            continue
        if found != json.loads(text):
            with pytest.raises(ValueError, match=r"sha256"):
                unsealed(found)
