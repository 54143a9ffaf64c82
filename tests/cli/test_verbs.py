"""Each verb calls its one function with what was typed, and prints what it made."""

from pathlib import Path

import pytest

from diffusion_audio import generation
from diffusion_audio.cli.main import main
from diffusion_audio.study import report
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
            if isinstance(result, Exception):
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
    assert (workdir, keywords) == ("runs/a", {})
    assert capsys.readouterr().out == "runs/a\n"


def test_train_stopped_by_a_signal(call, config, capsys):
    call(run, "train", loop.Interrupted("stopped at step 7"))
    assert main(["train", f"--config={config}", "--workdir=runs/a"]) == 130
    assert capsys.readouterr() == ("", "diffusion-audio: stopped at step 7\n")


def test_generate(call, capsys):
    calls = call(generation, "generate", [Path("out/0.wav"), Path("out/1.wav")])
    argv = ["--model=runs/a", "a flute", "--out=out", "--steps=5", "a horn"]
    assert main(["generate", *argv, "--guidance=2.5", "--duration=1"]) == 0
    [(args, keywords)] = calls
    assert args == ("runs/a", ["a flute", "a horn"], "out")
    assert keywords == {
        "seed": 0,
        "steps": 5,
        "guidance": 2.5,
        "duration": 1.0,
        "num_candidates": 1,
        "vocoder": None,
    }
    assert capsys.readouterr().out == "out/0.wav\nout/1.wav\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["a flute", "--out=x"], "--model must be given"),
        (["--model=runs/a", "--out=x"], "no prompt given"),
        (["a", "--model=b", "--out=x", "--steps=0"], "flag --steps=0: 0 is not"),
        (["a", "--model=b", "--out=x", "--guidence=3"], "Unknown command line flag"),
    ],
)
def test_generate_with_mistakes(call, capsys, argv, line):
    calls = call(generation, "generate", [])
    assert main(["generate", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, calls) == ("", [])
    assert err.startswith(f"diffusion-audio: {line}")
    assert err.count("\n") == 1


def test_evaluate(call, capsys):
    calls = call(report, "write_report", Path("out/report.html"))
    assert main(["evaluate", "--model=runs/a", "--out=out", "--captions=8"]) == 0
    [(args, keywords)] = calls
    assert args == ("runs/a", "out")
    assert keywords["captions"] == 8
    assert keywords["classifier"] is None
    assert capsys.readouterr().out == "out/report.html\n"


def test_a_run_that_is_none_is_one_line(tmp_path, capsys):
    argv = ["generate", "a flute", f"--model={tmp_path}", f"--out={tmp_path}"]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "is not a run" in err
    assert err.count("\n") == 1
