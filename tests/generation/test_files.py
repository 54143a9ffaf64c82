"""Sounds of prompts on disk: what is written, kept, listed and refused.

The model is a stand-in; that of `tests/test_end_to_end.py` is real.
"""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffusion_audio.errors import UserError
from diffusion_audio.generation import files
from diffusion_audio.generation.files import generate
from diffusion_audio.systems.conditioners.text import Tokens
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.sampler import SamplingConfig

WORDS = frozenset({"rain", "and", "wind", "hiss"})  # of the captions of training


class Silent:
    """No progress view."""

    def __init__(self, *arguments):
        pass

    def update(self, done, values=None):
        pass

    def close(self):
        pass


def stand_in(place, patch):
    """A run, whose sounds are their position as a constant."""
    path = place / "model"
    path.mkdir()
    config = {"task": "diffusion", "audio": {"sample_rate": 8000}}
    config["components"] = {"vocoder": {"run": "v"}}
    (path / "config.json").write_text(json.dumps(config))

    def batches(prompts, *, batch_size, watch, **options):
        for start in range(0, len(prompts), batch_size):
            stop = min(start + batch_size, len(prompts))
            for step in range(3):
                watch(step, 3, batch_size)
            yield np.arange(start, stop)[:, None] / 8 + np.zeros((1, 50))

    sampling = dataclasses.replace(SamplingConfig(), steps=3)
    pipeline = SimpleNamespace(
        batches=batches,
        system=SimpleNamespace(spec=SimpleNamespace(sample_rate=8000)),
        tokenizers=Tokenizers({"text": Tokens(None, WORDS)}),
        drawing=lambda *changes: sampling,
        transcripts=lambda *texts, **options: None,
        windowed=lambda duration, windows: (duration or 1) > 2 or windows == "always",
        seconds=1.0,
        step=7,
        config=config,
        candidates=1,
        ranking=None,
    )
    patch.setattr(files, "load", lambda *arguments, **options: pipeline)
    return path


@pytest.fixture
def model(tmp_path, monkeypatch):
    return stand_in(tmp_path, monkeypatch)


def make(model, prompts, out, **options):
    return generate(model, prompts, out, progress=Silent, **options)


def index(out):
    return json.loads((out / "index.json").read_text())


def wavs(out):
    return sorted(path.name for path in out.glob("*.wav"))


def test_every_prompt_and_candidate_has_its_file_and_line(model, tmp_path):
    paths = make(
        model, ["rain", " wi\u00adnd"], tmp_path, num_candidates=2, batch_size=3
    )
    assert [path.name for path in paths] == wavs(tmp_path)
    assert [soundfile.read(p)[0][0] for p in paths] == pytest.approx(
        [0, 1 / 8, 2 / 8, 3 / 8], abs=1e-4
    )
    found = index(tmp_path)
    assert [e["prompt"] for e in found["files"]] == ["rain"] * 2 + [" wi\u00adnd"] * 2
    assert found["complete"]
    assert "earlier" not in found


HOSTILE = [
    *("../../x", "/etc/passwd", "$(touch owned)", "`id`; rm -rf *", "a\nb", "a\0b"),
    *("\u202egnp.exe", "'\"><script>alert(1)</script>", "\N{TRUMPET}" * 2_000, "-rf"),
]


def test_a_prompt_is_no_part_of_a_file_name(model, tmp_path):
    out = tmp_path / "out"
    paths = make(model, HOSTILE, out)
    assert len({path.name for path in paths}) == len(HOSTILE)
    for path in paths:
        assert path.parent == out
        assert re.fullmatch(r"\d{5}_[0-9a-f]{8}\.wav", path.name)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "out"}
    kept = {path.name for path in out.iterdir()}
    assert kept == {path.name for path in paths} | {"index.json", ".outputs.jsonl"}


def test_progress_shows_the_steps_of_each_batch_and_never_goes_back(model, tmp_path):
    shown = []

    class View(Silent):
        def update(self, done, values=None):
            shown.append((done, values and values["step"]))

    generate(model, ["a", "b", "c"], tmp_path, batch_size=2, progress=View)
    assert [step for _, step in shown] == [0, 1, 2, None] * 2
    done = [done for done, _ in shown]
    assert done == [0, 0.5, 1, 2, 2, 2.25, 2.5, 3]


def test_the_index_says_whether_latents_were_made_in_windows(model, tmp_path, caplog):
    caplog.set_level("INFO")
    make(model, "rain", tmp_path)
    assert index(tmp_path)["latents"] == "whole"
    assert "windows" not in caplog.text
    make(model, "rain", tmp_path, duration=3)
    assert (index(tmp_path)["latents"], index(tmp_path)["windows"]) == (
        "windowed",
        "auto",
    )
    assert "made in windows of 1.00 s" in caplog.text


def test_a_string_is_one_prompt(model, tmp_path):
    assert len(make(model, "rain", tmp_path)) == 1


def test_what_was_made_is_made_again_and_nothing_is_lost(model, tmp_path):
    make(model, ["rain", "wind"], tmp_path, seed=1)
    before = index(tmp_path)
    # One prompt again, and another at the place of the second, which stays listed.
    [first, second] = make(model, ["rain", "hail"], tmp_path, seed=1)
    later = index(tmp_path)
    assert [e["file"] for e in later["files"]] == [first.name, second.name]
    assert later["earlier"] == [before | {"files": before["files"][1:]}]
    make(model, ["snow"], tmp_path)
    calls = [last := index(tmp_path), *last["earlier"]]
    assert sorted(e["file"] for call in calls for e in call["files"]) == wavs(tmp_path)
    assert len(calls) == 3


def test_a_file_that_was_changed_is_not_replaced_unasked(model, tmp_path):
    [first] = make(model, "rain", tmp_path)
    first.write_bytes(b"edited")
    with pytest.raises(UserError, match=f"{first.name} is there and was changed since"):
        make(model, "rain", tmp_path)
    assert first.read_bytes() == b"edited"
    make(model, "rain", tmp_path, overwrite=True)
    assert soundfile.info(first).frames == 50


@pytest.mark.parametrize("text", ["mine", "[]", '{"files": 3}', '{"files": [{}]}'])
def test_an_index_of_another_is_kept_or_replaced_whole(model, tmp_path, text):
    path = tmp_path / "index.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"index\.json is there and was not made"):
        make(model, "rain", tmp_path)
    assert path.read_text() == text
    make(model, "rain", tmp_path, overwrite=True)
    assert "earlier" not in index(tmp_path)


def test_a_run_is_refused_before_any_work(model, monkeypatch):
    monkeypatch.setattr(files, "load", lambda *arguments: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match="holds a run or converted weights"):
        make(model, "rain", model, overwrite=True)
    assert [path.name for path in model.iterdir()] == ["config.json"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_is_stopped_leaves_an_index_of_what_there_is(
    model, tmp_path, monkeypatch, caplog, stop
):
    make(model, ["rain", "wind", "old"], tmp_path)

    def write(path, *arguments, whole=files.write):
        if path.name.startswith("00003"):
            raise stop
        whole(path, *arguments)

    monkeypatch.setattr(files, "write", write)
    with pytest.raises(stop):
        make(model, ["rain", "wind", "c", "d", "e"], tmp_path, batch_size=2)
    found = index(tmp_path)
    assert (len(found["files"]), found["complete"]) == (3, False)
    calls = [found, *found["earlier"]]
    assert sorted(e["file"] for call in calls for e in call["files"]) == wavs(tmp_path)
    said = f"3 of 5 sounds are made; {tmp_path / 'index.json'} lists them"
    assert said in caplog.text


@pytest.mark.parametrize("empty", ["", " ", "\u200b\n"])
def test_an_empty_prompt_is_said(model, tmp_path, caplog, empty):
    make(model, ["rain", empty], tmp_path)
    assert "prompt 2 is empty: what is made of it follows no caption" in caplog.text


def test_words_that_training_never_had_are_said(model, tmp_path, caplog):
    make(model, ["rain and wind"], tmp_path, negative_prompt="Hiss")
    assert "no caption" not in caplog.text
    make(model, ["dog barks, rain"], tmp_path, overwrite=True)
    assert "no caption of training had the words dog, barks:" in caplog.text


def test_mistakes(model, tmp_path):
    for prompts, options, message in (
        ([], {}, "no prompt"),
        ("a fl\udcfcte", {}, "is not valid Unicode"),
        ("rain", {"num_candidates": 0}, "num_candidates must be 1 or more"),
    ):
        with pytest.raises(UserError, match=message):
            make(model, prompts, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_came_from_the_hub_is_on_record(model, tmp_path, monkeypatch):
    """The commit that a name stood for, and the hashes of its files."""
    snapshot = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    record = {"hub": "a/b", "commit": snapshot.name, "files": {"x": "1"}}
    asked = []
    monkeypatch.setattr(files, "located", lambda *call: asked.append(call) or snapshot)
    monkeypatch.setattr(files, "origin", {snapshot: record}.get)
    make("a/b", ["rain"], tmp_path / "out", revision="main")
    found = index(tmp_path / "out")
    assert (found["model"], found["origin"]) == ("a/b", record)
    assert asked == [(Path("a/b"), "main")]
