"""What people get wrong about published systems: one line, whatever the verb says."""

import json
import shutil

import pytest

from diffusion_audio.cli.main import main
from tests.published.folders import make


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return make("audioldm2", tmp_path_factory.mktemp("small") / "audioldm2")


@pytest.fixture
def folder(pristine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(pristine, tmp_path / "model")


def only(part):
    def keep(folder):
        shutil.copytree(folder / part, folder.with_name("part"))
        shutil.rmtree(folder)
        folder.with_name("part").rename(folder)

    return keep


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def without(name):
    return lambda folder: shutil.rmtree(folder / name)


def another_size(folder):
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text()) | {"block_out_channels": [8, 12, 16]}
    path.write_text(json.dumps(config))


def test_evaluate_is_for_runs(folder, tmp_path, capsys):
    """Whatever the layout: one line, before anything is downloaded or measured."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "weights.json").write_text("{}")
    for model in ("model", "ours", "cvssp/audioldm2"):
        assert main(["evaluate", f"--model={model}", "--out=page"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        line = f"diffusion-audio: {model} is a whole system and no run: evaluate"
        assert err.startswith(line)
        assert err.count("\n") == 1
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("change", "flags", "said"),
    [
        (empty, [], "model is not a run"),
        (shutil.rmtree, [], "model is not here; expected"),
        (only("unet"), [], "model is not a run"),
        (only("vocoder"), [], "model is not a run"),
        (without("vae"), [], "vae/config.json: No such file"),
        (without("language_model"), [], "language_model/config.json: No such file"),
        (another_size, [], "cannot be our"),
        (lambda _: None, ["--preset=orignal"], "did you mean 'original'"),
        (lambda _: None, ["--dtype=float16"], "dtype"),
        (lambda _: None, ["--num_candidates=0"], "num_candidates"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, change, flags, said):
    change(folder)
    words = ["generate", f"--model={folder}", "--out=out", "rain", *flags]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    lines = [line for line in err.splitlines() if line.startswith("diffusion-audio:")]
    assert len(lines) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("made", [False, True])
def test_a_model_that_is_none(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if made:
        (tmp_path / "lone.pth").touch()
    assert main(["generate", "--model=lone.pth", "--out=out", "rain"]) == 2
    _, err = capsys.readouterr()
    why = "is no file of a published system" if made else "is not here"
    assert err.startswith(f"diffusion-audio: lone.pth {why}; expected the --workdir of")
    assert err.count("\n") == 1
