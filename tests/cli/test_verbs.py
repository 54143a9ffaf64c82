"""Each verb calls its one function with what was typed, and prints what it made."""

import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio import generation
from diffusion_audio.cli.main import main
from diffusion_audio.data import open as opener
from diffusion_audio.errors import UserError
from diffusion_audio.generation import gallery
from diffusion_audio.generation.batches import BATCH_SIZE
from diffusion_audio.study import evaluate
from diffusion_audio.training import loop, run

CONFIG = """
from ml_collections import ConfigDict

def get_config():
    return ConfigDict({"task": "vae", "train": {"steps": 10}})
"""


@pytest.fixture
def call(monkeypatch):
    """Replaces a function; returns the calls made to it."""

    def install(module, name, result=None):
        calls = []

        def function(*args, **keywords):
            calls.append((args, keywords))
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(module, name, function)
        return calls

    return install


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(CONFIG)
    return path


def test_train(call, config, capsys):
    calls = call(run, "train")
    argv = [f"--config={config}", "--workdir=runs/a", "--config.train.steps=3"]
    assert main(["train", *argv]) == 0
    [((given, workdir), keywords)] = calls
    assert given.to_dict() == {"task": "vae", "train": {"steps": 3}}
    assert not keywords.pop("stop")
    off = {"accept_changed_data": False, "allow_fresh": False}
    assert keywords.pop("started") < time.monotonic()
    assert (workdir, keywords) == ("runs/a", off)
    assert capsys.readouterr().out == "runs/a\n"
    for flag in off:
        assert main(["train", *argv, f"--{flag}"]) == 0
        assert calls[-1][1].items() >= {**off, flag: True}.items()


def test_the_home_is_found_in_every_path(call, config, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    calls = call(run, "train")
    assert main(["train", "--config=~/vae.py", "--workdir=~/runs/a"]) == 0
    assert calls[0][0][1] == str(tmp_path / "runs/a")
    calls = call(generation, "generate", [])
    argv = ["--model=~/run", "--out=~/out", "--vocoder=~/vocoder", "~ is no path"]
    assert main(["generate", *argv]) == 0
    ((model, prompts, out), keywords) = calls[0]
    assert (model, out) == (str(tmp_path / "run"), str(tmp_path / "out"))
    assert keywords["vocoder"] == str(tmp_path / "vocoder")
    assert prompts == ["~ is no path"]
    assert opener.parse("folder:~/set") == ("folder", str(tmp_path / "set"))


def test_train_stopped_by_a_signal(call, config, capsys):
    call(run, "train", loop.Interrupted("stopped at step 7", signal.SIGTERM))
    assert main(["train", f"--config={config}", "--workdir=runs/a"]) == 143
    assert capsys.readouterr() == ("", "diffusion-audio: stopped at step 7\n")


def test_generate(call, capsys):
    calls = call(generation, "generate", [Path("out/0.wav"), Path("out/1.wav")])
    argv = ["--model=runs/a", "a flute", "--out=out", "--steps=5", "a horn"]
    argv += ["--solver=unipc", "--negative_prompt=noise"]
    assert main(["generate", *argv, "--guidance=2.5", "--duration=1"]) == 0
    [(args, keywords)] = calls
    assert args == ("runs/a", ["a flute", "a horn"], "out")
    assert keywords == {
        "seed": 0,
        "solver": "unipc",
        "steps": 5,
        "guidance": 2.5,
        "negative_prompt": "noise",
        "duration": 1.0,
        "num_candidates": None,
        "vocoder": None,
        "batch_size": BATCH_SIZE,
        "windows": "auto",
        "preset": None,
        "dtype": None,
        "revision": None,
        "transcripts": None,
        "phonemes": False,
        "overwrite": False,
    }
    assert capsys.readouterr().out == "out/0.wav\nout/1.wav\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["a flute", "--out=x"], "--model must be given"),
        (["--model=runs/a", "--out=x"], "no prompt given"),
        (["a", "--model=b", "--out=x", "--steps=0"], "flag --steps=0: 0 is not"),
        (["a", "--model=b", "--out=x", "--guidence=3"], "Unknown command line flag"),
        (["--model=b", "--out=x", "--prompts=none.txt"], "cannot read 'none.txt'"),
    ],
)
def test_generate_with_mistakes(call, capsys, argv, line):
    calls = call(generation, "generate", [])
    assert main(["generate", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, calls) == ("", [])
    assert err.startswith(f"diffusion-audio: {line}")
    assert err.count("\n") == 1


def test_a_page_is_made_of_what_is_made_or_of_what_was(call, capsys, tmp_path):
    made = call(generation, "generate", ["out/0.wav"])
    pages = call(gallery, "write_gallery", "out/index.html")
    out = tmp_path / "out"
    words = ["generate", "--model=a", f"--out={out}", "rain"]
    assert main(words) == 0
    assert not pages
    assert main([*words, "--page"]) == 0
    assert main(["page", str(out), "--overwrite"]) == 0
    assert pages == [
        ((where,), {"overwrite": overwrite})
        for where, overwrite in ((str(out), False), (str(out), True))
    ]
    printed = capsys.readouterr().out.split()
    assert printed == ["out/0.wav", "out/0.wav", *["out/index.html"] * 2]
    out.mkdir()
    (out / "index.html").write_text("mine")  # refused before any work
    assert main([*words, "--page"]) == 2
    assert len(made) == 2
    assert main(["page", "a", "b"]) == 2
    assert "expected one DIR, not 2" in capsys.readouterr().err


def test_a_prompt_that_begins_with_a_dash(call, capsys):
    calls = call(generation, "generate", [])
    words = ["generate", "--model=a", "--out=b"]
    assert main([*words, "-5 dB hum"]) == 2
    assert """begins with a dash stands last, after a "--" of its own""" in (
        capsys.readouterr().err
    )
    assert main([*words, "rain", "--", "-5 dB hum", "--help", "-h"]) == 0
    [((_, prompts, _), _)] = calls
    assert prompts == ["rain", "-5 dB hum", "--help", "-h"]


def test_prompts_of_a_file_come_after_those_typed(call, tmp_path):
    calls = call(generation, "generate", [])
    path = tmp_path / "prompts.txt"
    path.write_text("rain\n\nwind\n", encoding="utf-8")
    words = ["generate", "--model=a", "--out=b", f"--prompts={path}"]
    assert main(words) == 0
    assert main([*words, "hail"]) == 0
    assert [args[1] for args, _ in calls] == [
        ["rain", "wind"],
        ["hail", "rain", "wind"],
    ]


@pytest.mark.parametrize(
    ("encoding", "typed"),
    [
        ("iso8859-1", "fl\u00c3\u00bbte"),  # UTF-8 in a locale of Latin-1
        ("iso8859-1", "fl\u00fbte"),  # Latin-1 in a locale of Latin-1
        ("ascii", "fl\udcc3\udcbbte"),
        ("utf-8", "fl\u00fbte"),
    ],
)
def test_a_prompt_is_the_same_in_every_locale(call, monkeypatch, encoding, typed):
    calls = call(generation, "generate", [])

    def fsencode(word):
        return word.encode(encoding, "surrogateescape")

    monkeypatch.setattr("os.fsencode", fsencode)
    words = ["generate", typed, "--model=a", "--out=b", f"--negative_prompt={typed}"]
    assert main(words) == 0
    [((_, prompts, _), options)] = calls
    assert prompts == [options["negative_prompt"]] == ["fl\u00fbte"]


def test_evaluate(call, capsys):
    calls = call(evaluate, "evaluate", Path("out/report.html"))
    argv = ["--model=runs/a", "--out=out", "--captions=8", "--vocoder=runs/v"]
    assert main(["evaluate", *argv, "--data=folder:x", "--overwrite"]) == 0
    [(args, keywords)] = calls
    assert args == ("runs/a", "out")
    assert keywords["captions"] == 8
    assert keywords["classifier"] is None
    assert keywords["vocoder"] == "runs/v"
    assert keywords["batch_size"] == BATCH_SIZE
    assert (keywords["data"], keywords["overwrite"]) == ("folder:x", True)
    assert capsys.readouterr().out == "out/report.html\n"


@pytest.mark.parametrize("name", ["report.html", "results.json"])
def test_evaluate_replaces_no_file_of_another(monkeypatch, tmp_path, capsys, name):
    calls = []

    def generating(*given):
        calls.append(given)
        raise UserError("far enough")

    monkeypatch.setattr(evaluate, "_generating", generating)
    (tmp_path / "run").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "run" / "config.json").write_text(
        '{"task": "diffusion", "audio": {"sample_rate": 1}, "denoiser": {}}'
    )
    (tmp_path / "out" / name).write_text("mine")
    words = ["evaluate", f"--model={tmp_path / 'run'}"]
    assert main([*words, f"--out={tmp_path / 'out'}"]) == 2
    assert f"{name} is there and was not made" in capsys.readouterr().err
    assert main([*words, f"--out={tmp_path / 'run'}", "--overwrite"]) == 2
    assert "holds a run or converted weights" in capsys.readouterr().err
    assert calls == []
    assert main([*words, f"--out={tmp_path / 'out'}", "--overwrite"]) == 2
    assert len(calls) == 1


def test_a_run_that_is_none_is_one_line(tmp_path, capsys):
    argv = ["generate", "a flute", f"--model={tmp_path}", f"--out={tmp_path}"]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "is not a run" in err
    assert err.count("\n") == 1


@pytest.fixture
def folder(tmp_path):
    """Two good clips, one of them stereo at 44.1 kHz."""
    directory = tmp_path / "set"
    directory.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal((44100, 2))
    soundfile.write(directory / "a.wav", noise[:16000, 0], 16000)
    soundfile.write(directory / "b.flac", noise, 44100)
    return directory


def test_data_check_of_a_good_set(folder, capsys):
    assert main(["data", "check", f"folder:{folder}"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"folder:{folder}: 2 clips (1 train, 1 validation), no captions; none is bad\n"
    )
    assert "check 2/2" in err


def test_data_check_counts_captions_and_notes_what_is_not_used(folder, capsys):
    soundfile.write(folder / "c.wav", np.linspace(0, 0.5, 4000), 16000)
    (folder / "a.txt").write_text("one\neins", encoding="utf-8")
    (folder / "b.txt").write_text("two", encoding="utf-8")
    (folder / "d.m4a").write_bytes(b"x")
    assert main(["data", "check", f"folder:{folder}"]) == 0
    *notes, summary = capsys.readouterr().out.splitlines()
    assert notes == [
        "note: captions are those of 2 texts beside the clips",
        "note: not used: 'd.m4a': of a format that cannot be decoded here; convert to "
        "FLAC or WAV",
    ]
    assert re.search(r": 3 clips \(.*\), 3 captions \(.*\), 1 clip without;", summary)


def test_data_check_names_every_bad_clip(folder, capsys):
    (folder / "broken.wav").write_bytes(b"RIFF of nothing")
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    assert main(["data", "check", f"folder:{folder}"]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert {line.split(": ")[0] for line in lines} == {"broken.wav", "silent.wav"}
    assert "4 clips" in summary
    assert "1 silent" in summary


def test_data_prepare(call, capsys):
    calls = call(opener, "prepare", {"train": 3, "validation": 1})
    assert main(["data", "prepare", "tones"]) == 0
    assert calls == [(("tones",), {})]
    out = capsys.readouterr().out
    assert out == "tones is ready: 4 clips (3 train, 1 validation)\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "no action given; usage: diffusion-audio data check|prepare SOURCE"),
        (["chekc", "tones"], "unknown action of data 'chekc'; did you mean 'check'?"),
        (["check"], "expected one SOURCE, not 0"),
        (["check", "tons"], "unknown data source 'tons'; did you mean 'tones'?"),
        (["check", "folder:no/where"], "data folder 'no/where': no such folder"),
    ],
)
def test_data_with_mistakes(capsys, argv, line):
    assert main(["data", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"diffusion-audio: {line}")
    assert err.count("\n") == 1
