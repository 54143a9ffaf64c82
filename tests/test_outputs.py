"""What a command may write: the one rule of every verb."""

import os

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.outputs import RECORD, record, require_writable


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"a recording")
    return tmp_path


def refused(*paths, **options):
    with pytest.raises(UserError) as caught:
        require_writable(paths, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_new_file_in_a_new_folder_is_fine_and_nothing_is_made(here):
    require_writable(["b.wav", "deep/er/b.wav"], inputs=["a.wav", "nowhere"])
    assert os.listdir() == ["a.wav"]


def test_a_file_of_the_user_needs_the_flag(here):
    said = refused("b.wav", "a.wav")
    assert said.startswith("a.wav is there and was not made by this program")
    assert "--overwrite" in said
    require_writable(["a.wav"], overwrite=True)


def test_what_was_made_here_is_made_again_until_someone_changes_it(here):
    for content in (b"one", b"two"):  # the last record of a name counts
        (here / "b.wav").write_bytes(content)
        record(here / "b.wav", "vocode")
        require_writable([here / "b.wav"])
    (here / "b.wav").write_bytes(b"edited")
    assert "was changed since it was made" in refused("b.wav")
    (here / "b.wav").write_bytes(b"one")  # an earlier state is no more ours
    assert "was changed" in refused("b.wav")
    require_writable(["b.wav"], overwrite=True)


def test_what_was_planned_is_ours_and_what_it_was_to_replace(here):
    (here / "b.json").write_bytes(b"one")
    record(here / "b.json", "generate")
    record(here / "b.json", "generate", b"two")
    require_writable([here / "b.json"])  # the disk was full before it was written
    (here / "b.json").write_bytes(b"two")
    require_writable([here / "b.json"])
    (here / "b.json").write_bytes(b"three")
    assert "was changed" in refused("b.json")


def test_a_file_that_cannot_be_noted_is_none(here, monkeypatch):
    """Else the same command refuses it, as not its own, when there is room again."""
    for name in ("old.wav", "new.wav"):
        (here / name).write_bytes(b"one")
    record(here / "old.wav", "generate")
    noted = (here / ".outputs.jsonl").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusion_audio.outputs._append", full)
    for name in ("old.wav", "new.wav"):
        with pytest.raises(OSError, match="No space left"):
            record(here / name, "generate")
    assert (here / ".outputs.jsonl").read_bytes() == noted
    assert (here / "old.wav").exists()
    assert not (here / "new.wav").exists()


def test_a_name_that_was_made_in_another_folder_vouches_for_nothing(here):
    (here / "one").mkdir()
    (here / "one" / "a.wav").write_bytes(b"a recording")
    record("one/a.wav", "vocode")
    require_writable(["one/a.wav"])
    assert "not made by this program" in refused("a.wav")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_an_input_is_never_written_by_any_name(here, link):
    link(here / "a.wav", here / "b.wav")
    os.symlink(here, here / "linked")
    record(here / "b.wav", "vocode")
    for name in ("a.wav", "b.wav", "linked/a.wav", "./linked/a.wav"):
        said = refused(name, inputs=["a.wav"], overwrite=True)
        assert "is read by this command" in said


def test_a_link_is_not_ours_whatever_it_leads_to(here):
    record(here / "a.wav", "vocode")
    require_writable(["a.wav"])
    for name, target in (("a2.wav", "a.wav"), ("b.wav", "nowhere")):
        os.symlink(target, here / name)
        assert "not made by this program" in refused(name)


@pytest.mark.parametrize(
    "part", ["config.json", "checkpoints", "provenance.json", "generator.safetensors"]
)
def test_nothing_is_written_among_the_files_of_a_run(here, part):
    (here / "run").mkdir()
    (here / "run" / part).write_text('{"task": "vae", "audio": {}}')
    for options in ({}, {"overwrite": True}):
        assert "run holds a run" in refused("run/x.wav", **options)
    require_writable(["run/sounds/x.wav"])  # a folder of its own may lie there


def test_the_config_of_another_program_makes_no_run(here):
    for text in ('{"model": "x"}', "[]", "{", "\x00"):
        (here / "config.json").write_text(text)
        require_writable(["x.wav"])


def test_nor_in_its_checkpoints(here):
    (here / "run" / "checkpoints").mkdir(parents=True)
    (here / "run" / "config.json").write_text("{}")
    assert "holds a run" in refused("run/checkpoints/7/x.wav", overwrite=True)


def test_weights_are_written_again_by_what_wrote_them(here):
    paths = [here / "weights" / n for n in ("config.json", "generator.safetensors")]
    require_writable(paths)
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text("{}")
    assert "config.json is there and was not made" in refused(*paths)
    for path in paths:
        record(path, "convert")
    require_writable(paths)
    assert "holds a run" in refused("weights/x.wav")
    (here / "weights" / "checkpoints").mkdir()  # a run, after all
    assert "holds a run" in refused(*paths, overwrite=True)


def test_a_folder_for_a_file_and_a_file_for_a_folder(here):
    (here / "folder").mkdir()
    assert "folder is a folder; expected the name of a file" in refused("folder")
    assert "a.wav is not a folder, so a.wav/b" in refused("a.wav/b/c.wav")
    os.symlink("nowhere", "dangling")
    assert "dangling is not a folder" in refused("dangling/c.wav")


def test_a_name_that_no_file_can_have_is_found_before_work(here):
    assert "File name too long" in refused("x" * 300 + ".wav")
    assert "File name too long" in refused("x" * 300 + "/a.wav")


def test_a_read_only_folder(here, monkeypatch):
    (here / "locked").mkdir()
    # Root, as which tests may run, can write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "locked")
    assert "locked cannot be written to" in refused("locked/deep/a.wav")


@pytest.mark.parametrize(
    "damage", [b"\xff\n", b'{"file": "b.wav"', b"[]\n", b'"b.wav"\n', b"[" * 99_999]
)
def test_a_damaged_record_is_read_as_far_as_it_goes(here, damage):
    record(here / "a.wav", "vocode")
    with open(RECORD, "ab") as file:
        file.write(damage)
    require_writable(["a.wav"])
    (here / "b.wav").write_bytes(b"b")
    assert "not made by this program" in refused("b.wav")
