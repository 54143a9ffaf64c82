"""The page of a folder that `generate` wrote: what it shows, and what it refuses."""

import json
import os

import numpy as np
import pytest

from diffusion_audio.audio.files import write
from diffusion_audio.errors import UserError
from diffusion_audio.generation import gallery
from diffusion_audio.generation.gallery import PAGE, require_page, write_gallery
from diffusion_audio.generation.index import INDEX, write_index
from diffusion_audio.report.page import POLICY
from tests.report.test_page import HOSTILE, Tags

SETTINGS = {
    "model": "runs/rain",
    "step": None,
    "seed": 7,
    "duration": 0.1,
    "negative_prompt": "hiss",
    "sampling": {"solver": {"name": "ddim", "eta": 0.5}, "guidance": 3.5, "x": None},
    "command": "diffusion-audio generate --page",
    "commit": "c0ffee",
    "uncommitted_changes": "",
    "devices": ["cpu"],
    "packages": {"jax": "0.7"},
    "config_hash": "5a5a",
    "started": "2025-03-04T05:06:07Z",
}


def make(folder, prompts, *, scores=(), rate=8000, seconds=0.1, start=0, **changes):
    """Writes a folder as `generate` does: for each prompt a sound a score, or one."""
    each = max(1, len(scores))
    order = [sorted(scores, reverse=True).index(score) + 1 for score in scores]
    entries = []
    for position in range(each * len(prompts)):
        name = f"{start + position:05d}.wav"
        tone = np.sin(np.arange(round(rate * seconds)) * (position + 1) / 10)
        write(folder / name, tone / 2, rate)
        entry = {"file": name, "prompt": prompts[position // each]}
        entry["position"] = position
        if scores:
            i = position % each
            entry |= {"score": scores[i], "rank": order[i]}
        entries.append(entry)
    made_by = SETTINGS | {"num_candidates": each} | changes
    before = {}
    if (folder / INDEX).exists():
        before = json.loads((folder / INDEX).read_text())
    write_index(folder, made_by, entries, complete=True, before=before)
    return folder


def shown(folder, **options):
    return Tags(write_gallery(folder, **options).read_text("utf-8"))


def test_it_shows_prompts_players_spectrograms_scores_and_settings(tmp_path):
    tags = shown(make(tmp_path, ["rain", "", "rain"], scores=(0.25, 0.5, -0.125)))
    assert tags.captions[1:4] == ["rain", "(no prompt)", "rain"]
    assert len(tags.named("audio")) == len(tags.named("img")) == 9
    text = " ".join("".join(tags.text).split())
    nearest, second, last = (
        text.index(f"{name} {rank} · CLAP score {score} · {file}")
        for name, rank, score, file in (
            ("Candidate 2", "rank 1", "0.500", "00001.wav"),
            ("Candidate 1", "rank 2", "0.250", "00000.wav"),
            ("Candidate 3", "rank 3", "-0.125", "00002.wav"),
        )
    )
    assert nearest < second < last
    for said in ("Modelruns/rain", "Seed7", "Guidance3.5", "Negative prompthiss"):
        assert said in text
    assert "Solverddim (eta 0.5)" in text
    assert "Candidates3" in text
    assert "2025-03-04 05:06 runs/rain" in text
    assert "c0ffee" in text
    assert "5a5a" in text
    assert "None" not in text


def test_it_is_one_file_with_the_policy_of_every_page(tmp_path):
    tags = shown(make(tmp_path, ["rain"]))
    [policy] = [m["content"] for m in tags.named("meta") if "http-equiv" in m]
    assert policy == POLICY
    ids = [attrs["id"] for _, attrs in tags.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in tags.named("a")} <= set(ids)
    addresses = [a[n] for _, a in tags.elements for n in ("src", "href") if n in a]
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert not {"script", "iframe", "link"} & {name for name, _ in tags.elements}


def test_one_sound_is_no_candidate_and_has_no_score(tmp_path):
    text = "".join(shown(make(tmp_path, ["rain"])).text)
    assert "Generated" in text
    assert "Candidate " not in text
    assert "CLAP" not in text


def test_calls_stand_apart_the_latest_first_each_at_its_rate(tmp_path):
    make(tmp_path, ["old"], rate=48000)
    tags = shown(make(tmp_path, ["new"], start=5, seed=8))
    assert [c for c in tags.captions if c in ("old", "new")] == ["new", "old"]
    text = "".join(tags.text)
    assert text.index("Seed") < text.rindex("Seed")
    assert "16" in text  # kHz, of the one at 48
    ids = [attrs["id"] for _, attrs in tags.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_hostile_text_stays_text(tmp_path):
    changes = {name: HOSTILE for name in SETTINGS if name != "num_candidates"}
    tags = shown(make(tmp_path, [HOSTILE], **changes))
    assert tags.captions[1] == HOSTILE
    assert not {"script", "b"} & {name for name, _ in tags.elements}


def test_a_page_is_made_again_and_one_of_the_user_is_kept(tmp_path):
    page = write_gallery(make(tmp_path, ["rain"]))
    assert page == tmp_path / PAGE
    first = page.read_bytes()
    assert write_gallery(tmp_path).read_bytes() == first
    page.write_text("mine")
    for refuse in (write_gallery, require_page):
        with pytest.raises(UserError, match=r"index\.html is there and was changed"):
            refuse(tmp_path)
    assert page.read_text() == "mine"
    assert write_gallery(tmp_path, overwrite=True).read_bytes() == first


def test_what_is_no_more_there_is_said(tmp_path, caplog):
    make(tmp_path, ["rain", "wind"], scores=(0.5, 0.25))
    (tmp_path / "00001.wav").unlink()
    text = "".join(shown(tmp_path).text)
    assert "1 of 4 sounds are no more there" in text
    assert "1 of 4 sounds are no more there" in caplog.text
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    with pytest.raises(UserError, match="is there any more"):
        write_gallery(tmp_path)


def test_a_page_holds_what_can_be_opened(tmp_path, monkeypatch, caplog):
    make(tmp_path, ["a", "b", "c"])
    monkeypatch.setattr(gallery, "MOST_SECONDS", 0.21)
    assert len(shown(tmp_path).named("audio")) == 2
    assert "1 of 3 are left out" in caplog.text
    monkeypatch.setattr(gallery, "MOST_SECONDS", 0.01)
    assert len(shown(tmp_path).named("audio")) == 1


def test_a_folder_without_an_index_of_ours(tmp_path):
    for content in (None, "[]", '{"files": 3}'):
        if content is not None:
            (tmp_path / INDEX).write_text(content)
        with pytest.raises(UserError, match=r"has no index\.json of .*generate"):
            write_gallery(tmp_path)


def test_it_shows_what_is_said(tmp_path):
    folder = make(tmp_path, ["a calm voice", "a hoarse voice"])
    index = json.loads((folder / INDEX).read_text())
    index["files"][1]["transcript"] = "Good <morning>"
    (folder / INDEX).write_text(json.dumps(index))
    said = "a hoarse voice \N{EN DASH} “Good <morning>”"
    assert shown(folder).captions[1:3] == ["a calm voice", said]


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../secret.wav"},
        {"file": "/etc/passwd"},
        {"file": "a/../00000.wav"},
        {"file": "00000.wav\0"},
        {"prompt": ["rain"]},
        {"transcript": 7},
        {"position": "0"},
        {"score": "high"},
        {"rank": {}},
    ],
)
def test_an_index_that_is_made_up_is_refused_in_one_line(tmp_path, changes):
    folder = tmp_path / "out"
    folder.mkdir()
    make(folder, ["rain"])
    write(tmp_path / "secret.wav", np.zeros(800), 8000)
    index = json.loads((folder / INDEX).read_text())
    index["files"][0] |= changes
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json is damaged") as refused:
        write_gallery(folder)
    assert "\n" not in str(refused.value)
    assert not (folder / PAGE).exists()


def test_a_link_shows_nothing_of_another_folder(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    make(folder, ["rain", "wind"])
    write(tmp_path / "secret.wav", np.ones(800) / 3, 8000)
    (folder / "00001.wav").unlink()
    os.symlink(tmp_path / "secret.wav", folder / "00001.wav")
    assert len(shown(folder).named("audio")) == 1


@pytest.mark.parametrize(
    "value", [-1, 0, True, "3", None, [], 10**30], ids=lambda value: repr(value)[:5]
)
def test_settings_may_be_anything(tmp_path, value):
    make(tmp_path, ["rain"], **dict.fromkeys(SETTINGS, value), num_candidates=value)
    assert len(shown(tmp_path).named("audio")) == 1


def test_a_damaged_sound_is_named(tmp_path):
    make(tmp_path, ["rain"])
    (tmp_path / "00000.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"00000\.wav"):
        write_gallery(tmp_path)
