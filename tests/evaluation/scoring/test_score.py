import json
import os
import time
from contextlib import contextmanager

import numpy as np
import pytest

from diffusion_audio.audio import decoders
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.distributions import frechet_distance
from diffusion_audio.evaluation.posteriors import softmax_kl
from diffusion_audio.evaluation.scoring.scores import read_scores
from diffusion_audio.systems.devices import local_mesh
from tests.audio.test_decoders import FAULTY
from tests.evaluation.scoring.tiny import (
    KEYS,
    clips,
    encode,
    init,
    scored,
    table,
    text,
)


@pytest.fixture
def folder(tmp_path):
    clips(tmp_path / "made", KEYS, seed=1)
    clips(tmp_path / "real", KEYS, seed=2)
    table(tmp_path / "c.csv", KEYS)
    return tmp_path


def values(scores):
    return {name: score.value for name, score in scores.scores.items()}


def test_numbers_are_those_of_the_clips(folder):
    """Each from the files by hand, one by one."""
    import jax
    from scipy.special import softmax

    from diffusion_audio.audio.files import read

    params = init(jax.random.key(0))

    def heard(side):
        waves = [read(folder / side / f"{key}.wav", 8000) for key in KEYS]
        return [encode(params, wave[None]) for wave in waves]

    made, real = heard("made"), heard("real")
    got = scored(folder)
    rows = [np.concatenate([e.embedding[0] for e in side]) for side in (real, made)]
    assert got.scores["FD"].value == pytest.approx(frechet_distance(*rows), rel=1e-5)
    logits = [np.stack([e.logits[0].mean(0) for e in s]) for s in (real, made)]
    assert got.scores["KL"].value == pytest.approx(softmax_kl(*logits).mean(), rel=1e-5)
    direction = [
        (e.embedding[0] / np.linalg.norm(e.embedding[0], axis=1)[:, None]).mean(0)
        for e in made
    ]
    words = text([f"sound {key}" for key in KEYS])
    cosines = [
        d @ w / np.linalg.norm(d) / np.linalg.norm(w)
        for d, w in zip(direction, words, strict=True)
    ]
    assert got.scores["CLAP"].value == pytest.approx(np.mean(cosines), rel=1e-5)
    assert 1 <= got.scores["IS"].value <= softmax(logits[1]).shape[1]
    for score in got.scores.values():
        assert score.low <= score.value <= score.high


def test_neither_batches_nor_order_nor_devices_change_a_number(folder, tmp_path):
    one = scored(folder)
    for name in reversed(KEYS):  # another order on disk, other dates
        path = folder / "made" / f"{name}.wav"
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    for i, options in enumerate(
        [{"batch_size": 1}, {"batch_size": 7}, {"mesh": local_mesh()}]
    ):
        other = scored(folder, out=f"out{i}", cache=f"cache{i}", **options)
        assert values(other) == pytest.approx(values(one), rel=1e-6)
        for name, score in other.scores.items():
            assert score.protocol.hash == one.scores[name].protocol.hash


def test_what_was_heard_is_not_heard_again(folder, monkeypatch):
    from diffusion_audio.evaluation.scoring import cache, hear, score

    monkeypatch.setattr(cache, "UNSETTLED", -1.0)
    decoded, hashed = [], []

    def watched(function, into):
        return lambda path: (into.append(path.name), function(path))[1]

    def decoding():
        yield lambda task, path: watched(task, decoded)(path)

    monkeypatch.setattr(score, "decoding", contextmanager(decoding))
    monkeypatch.setattr(hear, "content_hash", watched(hear.content_hash, hashed))
    first = scored(folder)
    assert len(decoded) == 24
    assert len(hashed) == 48  # once more when it was decoded
    decoded.clear(), hashed.clear()
    assert values(scored(folder)) == values(first)
    assert decoded == hashed == []
    path = folder / "made" / "clip03.wav"
    os.utime(path, ns=(time.time_ns() - 10**12,) * 2)  # another date, the same sound
    assert values(scored(folder)) == values(first)
    assert (decoded, hashed) == ([], ["clip03.wav"])
    hashed.clear()
    clips(folder / "made", ["clip03"], seed=9)
    assert values(scored(folder)) != values(first)
    assert (decoded, hashed) == (["clip03.wav"], ["clip03.wav"] * 2)


def test_a_file_that_just_changed_is_read_whatever_its_date(folder):
    first = scored(folder)
    path = folder / "made" / "clip03.wav"
    found = path.stat()
    clips(folder / "made", ["clip03"], seed=9, samples=(1200,))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_size == found.st_size
    assert values(scored(folder)) != values(first)


def test_other_weights_are_heard_anew(folder):
    from tests.evaluation.scoring.tiny import open_tiny

    first = scored(folder)
    other = scored(folder, open_encoder=lambda name: open_tiny(name, seed=1))
    assert values(other) != values(first)
    with pytest.raises(UserError, match="embedding_weights"):
        first.scores["FD"].protocol.require_same(other.scores["FD"].protocol)


def test_damaged_files_are_named_and_left_out(tmp_path):
    """300 files, five of them damaged; those of the reference are whole."""
    keys = [f"c{i:03d}" for i in range(300)]
    clips(tmp_path / "made", keys, seed=1, samples=(800, 400))
    clips(tmp_path / "real", keys[:40], seed=2)
    made = tmp_path / "made"
    (made / "c007.wav").write_bytes(b"")
    (made / "c050.wav").write_bytes(b"RIFF and nothing else")
    whole = (made / "c100.wav").read_bytes()
    (made / "c100.wav").write_bytes(whole[: len(whole) // 2])
    (made / "c200.wav").unlink()
    (made / "c200.wav").symlink_to("nowhere")
    clips(made, ["c299"], samples=(399,))  # the network hears nothing of it
    got = scored(tmp_path, unpaired=True, batch_size=16)
    named = [entry["clip"] for entry in got.clips["damaged"]]
    assert named == ["c007", "c050", "c100", "c200", "c299"]
    assert all(entry["file"] in entry["why"] for entry in got.clips["damaged"])
    assert (got.clips["generated"], got.clips["reference"]) == (295, 40)
    assert got.scores["FD"].protocol.clips == 295
    assert set(got.left_out) == {"KL", "CLAP"}


def test_a_decoder_that_fails_costs_one_file(tmp_path, monkeypatch):
    faults = ["bomb", "crash", "hang"]
    clips(tmp_path / "made", [*KEYS, *faults], seed=1)
    monkeypatch.setattr(decoders, "WORKER", FAULTY)
    got = scored(tmp_path)
    assert [entry["clip"] for entry in got.clips["damaged"]] == faults
    bomb, crash, hang = (entry["why"] for entry in got.clips["damaged"])
    assert "crash.wav': its decoder crashed (SIGSEGV)" in crash
    assert "hang.wav': decoding took more than 60 s" in hang
    assert "bomb.wav': decoding takes more than the 2048 MB" in bomb
    assert got.scores["IS"].protocol.clips == len(KEYS)


def test_a_damaged_counterpart_takes_its_pair_along(folder):
    whole = scored(folder)
    (folder / "real" / "clip05.wav").write_bytes(b"RIFF")
    got = scored(folder)
    clips_of = {name: s.protocol.clips for name, s in got.scores.items()}
    assert clips_of == {"FD": 12, "KAD": 12, "KL": 11, "IS": 12, "CLAP": 12}
    assert got.scores["FD"].protocol.reference_clips == 11
    assert got.scores["IS"].value == whole.scores["IS"].value


def test_which_clips_are_left_out_is_part_of_a_number(folder):
    """As many clips, but others: of a list, and of pairs."""
    found = []
    for key in ("clip05", "clip07"):
        path = folder / "made" / f"{key}.wav"
        whole = path.read_bytes()
        path.write_bytes(b"RIFF")
        found.append(scored(folder, protocol="tiny_list"))
        path.write_bytes(whole)
    for name in found[0].scores:
        first, second = (each.scores[name].protocol for each in found)
        assert first.clips == second.clips == 11
        with pytest.raises(UserError, match=r"settings\.ids"):
            first.require_same(second)


def test_a_file_that_changes_while_it_is_scored_is_named(folder, monkeypatch):
    """What is kept under a content's hash is of that content."""
    from diffusion_audio.evaluation.scoring import score

    before = scored(folder, out="before", cache="other")
    path = folder / "made" / "clip03.wav"
    whole = path.read_bytes()

    def changing(task, file):
        if file == path:
            clips(folder / "made", ["clip03"], seed=9)
        return task(file)

    def decoding():
        yield changing

    monkeypatch.setattr(score, "decoding", contextmanager(decoding))
    got = scored(folder)
    assert [entry["clip"] for entry in got.clips["damaged"]] == ["clip03"]
    assert "changed while" in got.clips["damaged"][0]["why"]
    monkeypatch.undo()
    path.write_bytes(whole)
    assert values(scored(folder)) == values(before)


def test_a_damaged_cache_is_heard_anew(folder):
    first = scored(folder)
    path = folder / "cache" / "heard.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert values(scored(folder)) == values(first)


def test_nothing_is_left_beside_the_cache_however_it_ends(folder, monkeypatch):
    from diffusion_audio.evaluation.scoring import score

    there = []

    def look(metric, estimate, protocol):
        there.append(sorted(path.name for path in (folder / "cache").rglob("*")))
        return score_of(metric, estimate, protocol)

    score_of = score._score
    monkeypatch.setattr(score, "_score", look)
    scored(folder)
    assert there == [["heard.sqlite"]] * 5


def test_the_same_folder_twice_is_as_far_as_theory_says(folder):
    same = folder / "made"
    got = scored(folder, reference=same, captions=None)
    assert got.scores["FD"].value == pytest.approx(0.0, abs=1e-9)
    assert got.scores["KL"].value == pytest.approx(0.0, abs=1e-12)
    assert got.scores["KAD"].value < 0  # unbiased, and each clip is in both sets


def test_clips_without_a_counterpart_are_a_mistake(folder):
    (folder / "real" / "clip04.wav").unlink()
    with pytest.raises(UserError, match=r"1 of generated: 'clip04'.*1 of captions"):
        scored(folder)
    got = scored(folder, paired_only=True)
    assert got.clips["left_out"] == {"generated": ["clip04"], "captions": ["clip04"]}
    assert {score.protocol.clips for score in got.scores.values()} == {11}
    unpaired = scored(folder, unpaired=True)
    assert unpaired.left_out == {"KL": "the folders are --unpaired"}
    assert unpaired.scores["FD"].protocol.reference_clips == 11


def test_a_folder_alone_has_what_needs_no_other(tmp_path):
    clips(tmp_path / "made", KEYS)
    got = scored(tmp_path)
    assert list(got.scores) == ["IS"]
    assert got.left_out["FD"] == "there is no --reference"
    table(tmp_path / "c.csv", KEYS)
    assert set(scored(tmp_path).scores) == {"IS", "CLAP"}


def test_what_is_written_is_read_again(folder):
    got = scored(folder)
    again = read_scores(folder / "out")
    assert values(again) == values(got)
    assert again.scores["FD"].protocol.hash == got.scores["FD"].protocol.hash
    path = folder / "out" / "scores.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["scores"]["FD"]["protocol"]["clips"] = 13
    path.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(UserError, match="changed by hand"):
        read_scores(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[]", "JSON object"), ("{}", "no scores.json of `score`"), ("{", "not valid")],
)
def test_what_are_no_scores_is_refused(tmp_path, content, message):
    (tmp_path / "scores.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_scores(tmp_path)


def test_another_network_than_the_protocol_has_is_refused(folder):
    with pytest.raises(UserError, match="unknown network of protocol 'tiny' 'big'"):
        scored(folder, encoders=["big"])


def test_a_metric_of_more_clips_than_there_are_is_left_out(tmp_path):
    clips(tmp_path / "made", KEYS[:1], samples=(800,))
    clips(tmp_path / "real", KEYS[:1], samples=(800,))
    got = scored(tmp_path)
    assert set(got.scores) == {"FD", "KAD", "KL"}  # of two windows each
    assert "2 splits of 1 clips" in got.left_out["IS"]
    (tmp_path / "made" / "clip00.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"all are damaged, such as .*clip00\.wav"):
        scored(tmp_path)


def test_two_programs_may_keep_in_one_cache(folder):
    from diffusion_audio.evaluation.scoring.cache import Cache, Entry

    with Cache(folder / "cache") as other:
        other.keep("space", "content", Entry(np.ones((1, 2), np.float32), None))
        scored(folder)
    with Cache(folder / "cache") as again:
        assert again.missing("space", {"content"}) == set()
