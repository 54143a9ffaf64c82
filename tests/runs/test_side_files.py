"""Config, tokenizers and inventory: damaged ones are told, whoever reads them."""

import json
import os

import pytest

from diffusion_audio import storage
from diffusion_audio.errors import UserError
from diffusion_audio.runs import side_files
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.workdir import read_config, to_json

CONFIG = {"task": "vae", "audio": {"sample_rate": 16_000}}
FILES = {"config.json": to_json(CONFIG), "extras/text/tokenizer.json": "{}"}


@pytest.fixture
def run(tmp_path):
    side_files.write(tmp_path, FILES)
    return tmp_path


def test_whole_files_are_read(run, caplog):
    assert read_config(run) == CONFIG
    for name in FILES:
        side_files.require(run, name)
    side_files.write(run, FILES | {"config.json": to_json(CONFIG | {"seed": 1})})
    assert read_config(run)["seed"] == 1
    assert not caplog.text


def test_a_digit_that_changed_is_told(run):
    path = run / "config.json"
    path.write_text(path.read_text().replace("16000", "16008"))
    with pytest.raises(
        UserError, match=r"config\.json is not what this run wrote .*: restore it"
    ):
        read_config(run)
    (run / "files.json").unlink()  # as the message says, where it was on purpose
    assert read_config(run)["audio"]["sample_rate"] == 16_008


def test_each_bit_of_the_sums_counts(run):
    whole = (run / "files.json").read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        (run / "files.json").write_bytes(data)
        try:
            assert read_config(run) == CONFIG
        except UserError as error:
            assert "files.json is damaged" in str(error)  # noqa: PT017
        else:
            assert json.loads(data) == json.loads(whole)  # white space


def test_a_run_of_an_earlier_version_is_taken_as_it_is_and_summed(run, caplog):
    (run / "files.json").unlink()
    assert read_config(run) == CONFIG
    side_files.write(run, FILES)
    assert caplog.text.count("has no files.json") == 1
    assert json.loads((run / "files.json").read_text())["files"].keys() == FILES.keys()


@pytest.mark.parametrize("last", range(8))
def test_killed_between_two_writes_old_and_new_are_whole(run, monkeypatch, last):
    """Between each two steps of replacing the files, a reader finds what fits."""
    usual, done = os.replace, []

    def replace(*places):
        done.append(places)
        if len(done) > last:
            raise KeyboardInterrupt
        usual(*places)

    monkeypatch.setattr(storage.os, "replace", replace)
    changed = {name: text.replace("}", " }") for name, text in FILES.items()}
    try:
        side_files.write(run, changed)
    except KeyboardInterrupt:
        assert last < 4
    monkeypatch.undo()
    for name in FILES:
        side_files.require(run, name)
        assert (run / name).read_text() in (FILES[name], changed[name])
    side_files.write(run, changed)
    assert all((run / name).read_text() == text for name, text in changed.items())


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "extras/conditioners/../../a"])
def test_a_name_that_leads_out_is_refused(run, name):
    sums = {"files": {name: ["0"]}}
    (run / "files.json").write_text(json.dumps(storage.sealed(sums)))
    for read in (read_config, lambda run: [*Extras(run)]):
        with pytest.raises(UserError, match=r"damaged .*lies outside of the run"):
            read(run)
