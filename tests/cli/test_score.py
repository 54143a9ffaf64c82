import json
import re

import pytest

from diffusion_audio.cli.main import main
from diffusion_audio.evaluation.scoring import encoders
from tests.evaluation.scoring.tiny import clips, open_tiny, table

KEYS = [f"clip{i:02d}" for i in range(8)]
OF_TINY = ["score", "a", "--protocol=tiny", "--out=o"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(encoders, "opener", lambda weights: open_tiny)
    clips(tmp_path / "made", KEYS, seed=1)
    clips(tmp_path / "real", KEYS, seed=2)
    table(tmp_path / "c.csv", KEYS)
    return tmp_path


def score(folder, *words, made="made", out="out"):
    return main(
        [
            *("score", str(folder / made), "--protocol=tiny"),
            *(f"--out={folder / out}", f"--reference={folder / 'real'}"),
            *(f"--captions={folder / 'c.csv'}", *words),
        ]
    )


def test_a_folder_is_scored(folder, capsys):
    assert score(folder) == 0
    shown = capsys.readouterr()
    for name in ("FD", "KAD", "KL", "IS", "CLAP"):
        assert re.search(rf"{name} .*tiny", shown.out)
    assert "cannot exceed 4, the clips of a split" in shown.out
    assert "8/8" in shown.err  # the progress
    written = json.loads((folder / "out" / "scores.json").read_text("utf-8"))
    assert written["name"] == "tiny"
    assert (folder / "cache" / "diffusion_audio" / "heard" / "heard.sqlite").exists()
    assert score(folder) == 0  # what this program made it makes again


def test_damaged_files_are_named_and_the_exit_code_says_so(folder, capsys):
    (folder / "made" / "clip03.wav").write_bytes(b"RIFF")
    assert score(folder) == 1
    shown = capsys.readouterr()
    assert "left out" in shown.err
    assert "clip03.wav" in shown.err
    assert "1 left out in all" in shown.err


def test_two_results_are_compared(folder, capsys):
    clips(folder / "other", KEYS, seed=3)
    assert score(folder) == score(folder, made="other", out="out2") == 0
    capsys.readouterr()
    assert main(["score", "--compare", str(folder / "out"), str(folder / "out2")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not told apart") >= 1
    assert "by one network, tiny" in shown


def test_results_that_were_made_differently_are_refused(folder, capsys):
    assert score(folder) == 0
    (folder / "made" / "clip03.wav").write_bytes(b"RIFF")
    assert score(folder, out="out2") == 1
    capsys.readouterr()
    compare = ["score", "--compare", str(folder / "out"), str(folder / "out2")]
    assert main(compare) == 2
    shown = capsys.readouterr().err
    assert "not comparable (clips: 8 there, 7 here" in shown
    assert "clips left out: none there, 'clip03' here" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score"], "no folder GENERATED given"),
        (["score", "a"], "--protocol must be given"),
        (["score", "a", "--protocol=tiny"], "--out must be given"),
        (["score", "a", "b", "--protocol=tiny", "--out=o"], "expected one GENERATED"),
        (["score", "a", "--protocol=tinny", "--out=o"], "did you mean 'tiny'"),
        ([*OF_TINY, "--weights=x"], "NAME=PATH"),
        ([*OF_TINY, "--weights=tinny=x"], "did you mean 'tiny'"),
        ([*OF_TINY, "--weights=tiny=x", "--weights=tiny=y"], "twice, as 'x' too"),
        (["score", "--compare", "a"], "takes A and B, not 1"),
        (["score", "--compare", "a", "b"], "a: no such file"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1


def test_missing_weights_say_what_to_fetch(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    clips(tmp_path / "made", KEYS)
    words = ["score", str(tmp_path / "made"), "--protocol=audioldm", "--own_clips"]
    assert main([*words, f"--out={tmp_path / 'out'}"]) == 2
    assert "zenodo.org" in capsys.readouterr().err
