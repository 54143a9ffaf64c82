"""Folders of other programs, given where a run or converted weights are expected.

Whatever the verb and the place, a folder that is none is one line that says so; where
it is a published vocoder the line names the command that makes it one.
"""

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.runs.components import load_components
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.workdir import read_config
from tests.recipes import tiny

GOLDEN = Path(__file__).parents[1] / "pretrained" / "golden"
CONVERT = "`diffusion-audio convert {} --out=DIR`"


def text(content):
    return lambda path: path.write_bytes(content)


FOLDERS = {
    "original": (text((GOLDEN / "config.json").read_bytes()), CONVERT),
    "transformers": (
        text(b'{"model_in_dim": 64, "upsample_rates": [5, 4]}'),
        CONVERT,
    ),
    "autoencoder": (text(b'{"_class_name": "AutoencoderKL"}'), "of another program"),
    "other_task": (text(b'{"task": "../x", "audio": {}}'), "of another program"),
    "task_list": (
        text(b'{"task": ["vae"], "audio": {"sample_rate": 1}}'),
        "of another program",
    ),
    "no_audio": (text(b'{"task": "vae", "audio": 3}'), "of another program"),
    "no_spec": (text(b'{"task": "vocoder", "audio": {}}'), "of another program"),
    "list": (text(b"[1]"), "config.json is no config: expected a JSON object"),
    "no_json": (text(b"{"), "config.json is not valid JSON"),
    "no_utf8": (text(b'{"a": "\xff"}'), "config.json is not valid JSON"),
    "nested": (text(b"[" * 100_000), "config.json is not valid JSON"),
    "large": (text(b" " * (1 << 20) + b"{}"), "config.json is too large"),
    "directory": (Path.mkdir, "config.json: Is a directory"),
    "empty": (lambda path: None, "config.json is missing"),
}


@pytest.fixture
def foreign(tmp_path):
    def make(kind):
        path = tmp_path / kind
        path.mkdir()
        write, message = FOLDERS[kind]
        write(path / "config.json")
        return path, message.format(path)

    return make


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is_no_run(foreign, kind):
    path, message = foreign(kind)
    with pytest.raises(UserError) as refused:
        read_config(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert ("convert" in message) == (f"convert {path}" in str(refused.value))


def test_weights_without_a_config_and_files(tmp_path):
    weights = tmp_path / "g_00000001"
    shutil.copy(GOLDEN / "zip.pt", weights)
    with pytest.raises(UserError, match=f"convert {tmp_path} --out=DIR"):
        read_config(tmp_path)
    shutil.copy(GOLDEN / "zip.pt", tmp_path / "vocoder.pt")
    with pytest.raises(UserError, match=r"is a file.*convert \S+vocoder.pt --out=DIR"):
        read_config(tmp_path / "vocoder.pt")
    with pytest.raises(UserError, match="absent is not a run: no such directory"):
        read_config(tmp_path / "absent")


@pytest.mark.parametrize("slot", ["autoencoder", "vocoder"])
@pytest.mark.parametrize("task", ["diffusion", "vocoder"])
def test_every_slot_of_a_component(foreign, task, slot):
    path, message = foreign("original")
    config = tiny(task, "tones")
    config.components = {slot: str(path)}
    with pytest.raises(UserError) as refused:
        resolve(config)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "a flute", "--out={out}", "--model={it}"],
        ["vocode", "{sound}", "{out}", "--model={it}"],
        ["evaluate", "--out={out}", "--model={it}"],
        ["evaluate", "--out={out}", "--model={it}", "--vocoder={it}"],
        [
            *("train", "--config=configs/vocoder.py:tones", "--workdir={out}"),
            "--config.components.vocoder={it}",
        ],
        ["train", "--config=configs/vocoder.py:tones", "--workdir={it}"],
    ],
)
def test_every_verb(foreign, tmp_path, capsys, words):
    path, message = foreign("original")
    sound = Path(__file__)  # never looked at
    if words[0] == "vocode":
        sound = tmp_path / "a.wav"
        soundfile.write(sound, [0.0] * 160, 16000)
    before = sorted(path.iterdir())
    out = tmp_path / "out"
    assert main([w.format(it=path, out=out, sound=sound) for w in words]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.count("\n") == 1
    assert message in err
    assert sorted(path.iterdir()) == before
    assert not out.exists()


def test_converted_weights_are_no_run(tmp_path, capsys):
    shutil.copytree(GOLDEN, tmp_path / "it")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "it" / "zip.pt"), f"--out={out}"]) == 0
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["vocoder"]["cutt"] = "end"
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown key in .*config\.vocoder 'cutt'"):
        load_components({"components": {"vocoder": config | {"run": str(out)}}})


@pytest.mark.parametrize("flag", ["--audio=hifigan_22k", "--cut=end", "--take=a"])
def test_what_is_for_published_vocoders_is_refused_for_our_own(tmp_path, capsys, flag):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    words = ["convert", str(tmp_path / "run"), f"--out={tmp_path / 'out'}", flag]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{flag.partition('=')[0]} is for published vocoders" in err
