"""Parts in a file outside of the package do all that this program's own do."""

import json
from pathlib import Path

import pytest
import soundfile

from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.generation import load
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.systems import denoisers, outside
from diffusion_audio.systems.table import Entry
from tests.training.test_loop import same

HERE = Path(__file__).parent
PARTS = f"--parts={HERE / 'toy_parts.py'}"
SPEC = f"""
from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Do letters that are trained say more?",
    base="{HERE / "toy_diffusion.py"}",
    baseline="trained",
    variants={{
        "frozen": {{"conditioners.letters.trained": False}},
        "to averages": {{"task": "averages"}},
    }},
    vocoder="{HERE / "toy_vocoder.py"}",
    classifier="ROOT/classifier.py",
    metrics={{"mel_l1": "lower"}},
    seeds=(0, 1),
    prompts=16,
    examples=2,
)
"""
CLASSIFIER = """
from tests.recipes import tiny

def get_config():
    config = tiny("classifier", "tones", steps=1)
    config.data.seconds = 1.024
    return config
"""


def run(*words):
    assert main([*map(str, words), PARTS]) == 0


def train(config, workdir, *flags):
    run("train", f"--config={HERE / config}.py", f"--workdir={workdir}", *flags)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("toys")
    train("toy_vocoder", root / "vocoder")
    train(
        "toy_diffusion", root / "whole", f"--config.components.vocoder={root}/vocoder"
    )
    return root


def test_they_are_trained_stopped_and_gone_on_with(runs):
    flags = [f"--config.components.vocoder={runs}/vocoder"]
    train("toy_diffusion", runs / "parts", "--config.train.steps=2", *flags)
    train("toy_diffusion", runs / "parts", *flags)

    def rows(name):
        return [row for row in read_metrics(runs / name) if row["split"] == "train"]

    assert rows("parts") == rows("whole")
    record = json.loads((runs / "whole" / "provenance.json").read_text())
    assert set(record["sessions"][0]["parts"]) == {"toy_parts.py"}


def test_a_run_stands_on_the_step_that_is_named(runs):
    vocoder = f"--config.components.vocoder={runs}/vocoder"
    steps = "--config.train.steps=4"
    train("toy_vocoder", runs / "vocoder", steps)  # goes on, so its newest is another
    train("toy_diffusion", runs / "named", f"{vocoder}@2")
    named = read_config(runs / "named")["components"]["vocoder"]
    assert (named["step"], named["run"]) == (2, f"{runs}/vocoder")
    whole = read_config(runs / "whole")["components"]["vocoder"]
    assert named["hash"] == whole["hash"]
    assert load(runs / "named").step == 4
    pipeline = load(f"{runs}/named@2", f"{runs}/vocoder@4")
    assert pipeline.step == 2
    kept, newest = load(runs / "named").frozen, pipeline.frozen
    assert same(kept["vocoder"], load(runs / "whole").frozen["vocoder"])
    assert not same(kept["vocoder"], newest["vocoder"])
    train("toy_diffusion", runs / "named", f"{vocoder}@2", "--config.train.steps=5")
    words = [f"--config={HERE}/toy_diffusion.py", f"--workdir={runs}/named", vocoder]
    assert main(["train", *words, PARTS]) == 2  # the newest is not what it began with


@pytest.mark.slow
def test_they_are_generated_with_and_evaluated(runs, tmp_path, capsys):
    flags = [f"--config.components.vocoder={runs}/vocoder"]
    words = ["generate", f"--model={runs}/whole@2", f"--vocoder={runs}/vocoder@2"]
    run(*words, "a tone", f"--out={tmp_path}/gen")
    index = json.loads((tmp_path / "gen" / "index.json").read_text())
    assert (index["step"], index["vocoder"]) == (2, f"{runs}/vocoder@2")
    (path,) = (tmp_path / "gen").glob("*.wav")
    assert soundfile.info(path).frames == 16384
    run("vocode", f"--model={runs}/vocoder", path, tmp_path / "copy.wav")
    assert (tmp_path / "copy.wav").exists()
    assert main(["convert", f"{runs}/vocoder", f"--out={tmp_path}/weights", PARTS]) == 2
    assert "trained a vocoder 'toy'" in capsys.readouterr().err
    train("toy_diffusion", runs / "averages", "--config.task=averages", *flags)
    for name, step in (("vocoder@2", 2), ("whole@2", 2), ("averages", 4)):
        out = tmp_path / f"{name}-page"
        run("evaluate", f"--model={runs}/{name}", f"--out={out}", "--captions=2")
        assert (out / "report.html").exists()
        assert json.loads((out / "results.json").read_text())["spec"]["step"] == step


@pytest.mark.slow
def test_they_are_compared(tmp_path):
    (tmp_path / "classifier.py").write_text(CLASSIFIER)
    study = tmp_path / "experiments" / "letters"
    study.mkdir(parents=True)
    (study / "spec.py").write_text(SPEC.replace("ROOT", str(tmp_path)))
    (study / "README.md").write_text(
        "# Letters\n\n<!-- results: begin, written by `diffusion-audio experiment run`"
        " -->\n<!-- results: end -->\n"
    )
    run("experiment", "run", study, f"--runs={tmp_path}/runs")
    assert "to averages" in (study / "README.md").read_text()
    trained = {path.name.split("-")[0] for path in (tmp_path / "runs").iterdir()}
    assert {"diffusion", "averages", "vocoder", "classifier"} <= trained


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "--parts: no such file"),
        ("1 / 0", "toy.py: ZeroDivisionError: division by zero"),
        (
            "from diffusion_audio.systems import denoisers\n"
            "denoisers.TABLE.add('unet', None)",
            "denoiser 'unet' is this program's own; give yours another name",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, capsys, text, line):
    path = tmp_path / "toy.py"
    if text is not None:
        path.write_text(text)
    for flag in ([f"--parts={path}"], ["--parts", str(path)]):
        assert main(["doctor", *flag]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert line in err


def test_the_environment_names_files_too(tmp_path, monkeypatch, capsys):
    path = tmp_path / "named_by_environment.py"
    path.write_text("raise ValueError('read')")
    monkeypatch.setenv("DIFFUSION_AUDIO_PARTS", str(path))
    assert main(["doctor"]) == 2
    assert "named_by_environment.py: ValueError: read" in capsys.readouterr().err


def test_a_run_of_parts_that_are_not_known_says_how_to_name_them():
    with pytest.raises(UserError, match=r"unknown denoiser 'mine'.*--parts=FILE\.py"):
        denoisers.TABLE["mine"]
    assert "unet" in denoisers.TABLE.names


def test_what_was_read_is_on_record(tmp_path, monkeypatch):
    monkeypatch.setattr(outside, "_read", {})
    path = tmp_path / "mine.py"
    path.write_text(
        "from diffusion_audio.systems import denoisers\n"
        "from diffusion_audio.systems.table import Entry\n"
        "denoisers.TABLE.add('mine', Entry(int, float))\n"
    )
    monkeypatch.setattr(denoisers.TABLE, "_added", {})
    outside.read(path)
    assert denoisers.TABLE["mine"] == Entry(int, float)
    assert set(outside.record()) == {"mine.py"}
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "mine.py"
    other.write_text("")
    alone = outside.record()["mine.py"]
    outside.read(other)
    assert outside.record()["mine.py"].startswith(f"{alone}, ")
