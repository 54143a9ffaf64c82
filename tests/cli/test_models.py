"""The list of published models, and all of one."""

import pytest

from diffusion_audio.cli.main import main
from diffusion_audio.pretrained.catalog import MODELS
from diffusion_audio.pretrained.metric_catalog import NETWORKS


def test_the_list_has_every_model(capsys):
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    lines = {
        model.hub_id: [line for line in out.splitlines() if f" {model.hub_id} " in line]
        for model in MODELS
    }
    for model in MODELS:
        [line] = lines[model.hub_id]
        assert model.licence in line
        assert f"{model.parameters / 1e6:.0f} M" in line
    assert err == ""


@pytest.mark.parametrize("name", ["audioldm2", "cvssp/audioldm2"])
def test_all_of_one(capsys, name):
    assert main(["models", name]) == 0
    out = capsys.readouterr().out
    for text in (
        *("346,943,496", "341,231,104", "1,118,354,314", "ddim, 200 steps"),
        *("guidance 3.5", "CC-BY-NC-SA-4.0; commercial use is not allowed"),
        *("audioldm_16k: 16000 Hz, 64 mel bands, 10.24 s", "c8e7e189d324425c05c4c2f8"),
        "          unet/diffusion_pytorch_model.safetensors\n",
        'run:      diffusion-audio generate --model=cvssp/audioldm2 "PROMPT" --out=DIR',
    ):
        assert text in out
    assert "note:" not in out


def test_what_is_not_pinned_and_what_speech_takes_is_said(capsys):
    assert main(["models", "audioldm2_ljspeech"]) == 0
    out = capsys.readouterr().out
    assert "not pinned: main, as it is at the download" in out
    assert '"PROMPT" --transcript="TEXT" --out=DIR' in out
    assert "note:     its page's licence" in out


def test_an_original_needs_tokenizers_of_others(capsys):
    assert main(["models", "audioldm_48k"]) == 0
    out = capsys.readouterr().out
    assert (
        "words:    tokenizers of FacebookAI/roberta-base, which are fetched too" in out
    )
    command = 'generate --model=haoheliu/audioldm_48k "PROMPT" --out=DIR'
    assert f"run:      diffusion-audio {command}\n" in out


def test_networks_of_metrics(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f" {network.name} " in out for network in NETWORKS)
    assert main(["models", "vggish_8bit"]) == 0
    out = capsys.readouterr().out
    for text in (
        "licence:  Apache-2.0\n",
        "files:    vggish-10086976.pth\n          vggish_pca_params-970ea276.pth\n",
        "hashes:   vggish-10086976.pth sha256:10086976\n",
        "/releases/download/v0.1/vggish_pca_params-970ea276.pth'`\n",
        "run:      diffusion-audio convert vggish_8bit --out=DIR\n",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["audioldm-2"], "unknown model 'audioldm-2'; did you mean 'audioldm2'?"),
        (["a", "b"], "expected one NAME, not 2; usage: diffusion-audio models [NAME]"),
        (["--all"], "Unknown command line flag 'all'"),
    ],
)
def test_mistakes(capsys, argv, line):
    assert main(["models", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"diffusion-audio: {line}")
    assert err.count("\n") == 1
