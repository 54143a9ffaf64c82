from pathlib import Path

import pytest
from absl import flags

from diffusion_audio.cli import config
from diffusion_audio.errors import UserError

FILE = """
from ml_collections import ConfigDict, config_dict
from {package}.shared import WIDTH

PRESETS = {{"base": "the default", "tiny": "for tests"}}

def get_config(arg="base"):
    names = arg.split(",")
    return ConfigDict({{
        "seed": 0,
        "vae": config_dict.placeholder(str),
        "nothing": None,
        "model": {{"width": 4 if "tiny" in names else WIDTH, "levels": (1, 2)}},
        "optimizer": {{"peak": 1e-3, "ema": True}},
    }})
"""


@pytest.fixture
def path(tmp_path):
    """A config file beside one that it imports, as in configs/."""
    package = tmp_path / f"configs_{tmp_path.name}".replace("-", "_")
    package.mkdir()
    (package / "shared.py").write_text("WIDTH = 64\n")
    file = package / "vae.py"
    file.write_text(FILE.format(package=package.name))
    return file


def parse(*argv):
    values = flags.FlagValues()
    rest = config.define(values, argv)
    values.set_gnu_getopt()
    return values(["program", *rest])[1:], values.config


def test_options_that_are_off_in_a_recipe_can_be_turned_on():
    recipe = Path(__file__).parents[2] / "configs" / "diffusion.py"
    wanted = {
        "solver.eta": 0.5,
        "solver.churn": 1.0,
        "solver.variance": "beta",
        "solver.order": 3,
        "guidance_interval": (0.2, 5.0),
    }
    words = [f"--config.sampling.{key}={value}" for key, value in wanted.items()]
    _, values = parse(f"--config={recipe}:tones", *words)
    sampling = dict(values.sampling.solver) | values.sampling.to_dict()
    found = {key: sampling[key.removeprefix("solver.")] for key in wanted}
    assert found == wanted


def test_a_file_of_ones_own_may_build_on_ours(tmp_path, monkeypatch):
    text = "from configs import vae\nget_config = lambda: vae.get_config('tones,smoke')"
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    _, values = parse("--config=mine.py", "--config.train.log_every=3")
    assert (values.train.steps, values.train.log_every) == (20, 3)


def test_a_file_without_presets(path):
    words, values = parse(f"--config={path}")
    assert words == []
    assert values.model.width == 64
    assert values.is_locked


@pytest.mark.parametrize("where", ["before", "after"])
def test_overrides_stand_before_or_after_the_file(path, where):
    overrides = [
        "--config.model.width=9",
        "--config.model.levels=(3,4,5)",
        "--config.optimizer.peak",
        "2",
        "--noconfig.optimizer.ema",
        "--config.vae=runs/vae",
    ]
    spec = ["--config", f"{path}:tiny"]
    argv = [*overrides, *spec] if where == "before" else [*spec, *overrides]
    words, values = parse(*argv, "word")
    assert words == ["word"]
    assert values.to_dict() == {
        "seed": 0,
        "vae": "runs/vae",
        "nothing": None,
        "model": {"width": 9, "levels": (3, 4, 5)},
        "optimizer": {"peak": 2.0, "ema": False},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "--config.model.widht=9",
            r"unknown key of config.model 'widht'; did you mean 'width'\?",
        ),
        ("--config.modle.width=9", r"of config 'modle'; did you mean 'model'\?"),
        ("--config.peak=1", r"unknown key of config 'peak'.*optimizer\.peak"),
        ("--config.seed.x=1", "config.seed is a value, so it has no 'x' in it"),
        ("--config.vae.x=1", "config.vae is a value, so it has no 'x' in it"),
        ("--config.nothing=1", r"config\.nothing cannot be set on the command line"),
    ],
)
def test_a_key_that_does_not_exist_names_the_nearest(path, override, message):
    with pytest.raises(UserError, match=message):
        parse(f"--config={path}", override)


def test_a_value_of_another_type_is_a_flag_error(path):
    with pytest.raises(flags.IllegalFlagValueError, match=r"config\.seed=many"):
        parse(f"--config={path}", "--config.seed=many")


def test_an_override_without_a_file_is_a_mistake():
    with pytest.raises(UserError, match=r"--config\.seed needs a --config=FILE\.py"):
        parse("--config.seed=1")


def test_a_misspelt_preset_names_the_nearest(path):
    with pytest.raises(UserError, match=r"'tinny'; did you mean 'tiny'\?"):
        config.load(f"{path}:base,tinny")


def test_a_misspelt_file_names_the_nearest(path):
    with pytest.raises(UserError, match=r"did you mean '.*vae\.py'\?"):
        config.load(str(path.parent / "vea.py"))
    with pytest.raises(UserError, match=r"no config file 'nowhere/vae\.py'"):
        config.load("nowhere/vae.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", "AttributeError.*get_config"),
        ("def get_config(): raise ValueError('too wide')", "ValueError: too wide"),
        ("def get_config(): return {}", "must return a ConfigDict, not dict"),
        ("import not_there", "ModuleNotFoundError.*not_there"),
    ],
)
def test_a_broken_file_is_a_user_error(tmp_path, text, message):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(UserError, match=message):
        config.load(str(tmp_path / "broken.py"))
