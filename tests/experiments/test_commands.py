"""The commands that fill a row of the ledger are ones that this program takes."""

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.evaluation import protocols
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.catalog import find
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.settings import settings
from diffusion_audio.training.tasks import vocoder
from experiments.reproduction import named
from experiments.reproduction.ledger import WAYS, Way, read

ROOT = Path(__file__).parents[2]
LEDGER = read()
COMMANDS = {
    f"{system.name}, {name}, {i}": shlex.split(command.replace("\\\n", " "))
    for system in LEDGER.systems.values()
    for name, way in system.ways.items()
    for i, command in enumerate(way.all_commands(LEDGER.protocols(system.name)))
}


class Parsed(Exception):
    """The words were understood; what they ask for is not done."""


@pytest.fixture
def parsed(monkeypatch):
    """Runs a command as far as its flags; gives these and its other words."""
    found = {}
    parse = options.parse

    def stop(values, argv, **keywords):
        found["words"] = parse(values, argv, **keywords)
        found["values"] = values
        raise Parsed

    def run(words):
        if words[:3] == ["python", "-m", "experiments.reproduction.named"]:
            monkeypatch.setattr("sys.argv", words[2:])
            monkeypatch.setattr(named, "copy", lambda *paths: found.update(paths=paths))
            named.main()
            assert len(found["paths"]) == 3
            return {}, []
        program, verb, *rest = words
        assert program == "diffusion-audio"
        with pytest.raises(Parsed):
            importlib.import_module(f"diffusion_audio.cli.{verb}").main(rest)
        return found["values"], found["words"]

    monkeypatch.setattr(options, "parse", stop)
    monkeypatch.chdir(ROOT)
    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_understood(name, parsed):
    values, _ = parsed(COMMANDS[name])
    text = " ".join(COMMANDS[name])
    for hub_id in re.findall(r"=((?:cvssp|haoheliu|anhnct|auffusion)/\S+)", text):
        assert find(hub_id).hub_id == hub_id
    if "config" in values and values.config.task == "vocoder":
        vocoder.configure(resolve(values.config))


def test_a_shell_takes_the_commands_as_they_stand():
    script = "\n".join(
        command
        for system in LEDGER.systems.values()
        for way in system.ways.values()
        for command in way.all_commands((("tango", "tango"),))
    )
    done = subprocess.run(
        ["sh", "-n"], input=script, text=True, capture_output=True, check=False
    )
    assert done.stderr == ""


def test_a_command_that_is_not_is_noticed(parsed):
    words = COMMANDS["HiFi-GAN V1, trained, 0"]
    with pytest.raises(flags.Error, match="Unknown command line flag 'stpes'"):
        parsed([*words, "--stpes=3"])


def test_every_way_ends_in_something_to_compare():
    """A row with a protocol is scored; what is made for listeners is made."""
    for system in LEDGER.systems.values():
        scored = bool(LEDGER.protocols(system.name))
        for name, way in system.ways.items():
            assert name in WAYS
            assert bool(way.scored) == scored, system.name


def test_the_protocols_are_those_of_score():
    tables = [table for _, table in LEDGER.results() if table.protocol]
    assert {table.protocol for table in tables} <= set(protocols.TABLE.names)
    for table in tables:
        expected = protocols.TABLE[table.clips or table.protocol].clips
        count = re.search(r"(\d+) clips", table.test)
        if count:  # a table of other clips than its list's could not be filled
            assert int(count[1]) == expected.count, table.title


def test_clips_of_another_protocol_are_made_once_and_scored_as_own():
    way = Way("it", ("make {clips}",), scored="s")
    commands = way.all_commands([("tango", "tango"), ("stable_audio_metrics", "tango")])
    assert commands[0] == "make tango"
    assert [c.split()[0] for c in commands] == [
        "make",
        "python",
        *["diffusion-audio"] * 2,
    ]
    own = [c for c in commands if "--own_clips" in c]
    assert own == commands[3:]
    assert "named/s_tango --protocol=stable_audio_metrics" in own[0]
    assert "--out=scores/s_stable_audio_metrics" in own[0]


@pytest.mark.slow
def test_the_large_model_is_trained_at_its_size(parsed):
    values, _ = parsed(COMMANDS["AudioLDM 2-AC-Large, trained, 0"])
    group = values.config.to_dict()
    del group["denoiser"]["name"]
    unet = build_unet(settings(UNetConfig, group, "denoiser"))
    assert count(abstract_params(unet)) == find("audioldm2-large").parts[0].parameters
