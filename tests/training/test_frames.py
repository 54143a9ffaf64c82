"""From the verb `train` to the gradient a reader passes through few functions."""

import sys
from pathlib import Path

import jax
import pytest

import diffusion_audio
from diffusion_audio.cli import train
from diffusion_audio.systems import outside
from tests.outside import toy_diffusion
from tests.recipes import folder_of_audio, tiny

PACKAGE = str(Path(diffusion_audio.__file__).parent)
MOST = 7


class Reached(Exception):
    """The gradient is asked for."""


def frames():
    """Our functions from the verb's down to the caller's caller, outermost first."""
    found, frame = [], sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            found.append(f"{Path(code.co_filename).name}:{code.co_qualname}")
        frame = frame.f_back
    start = max(i for i, name in enumerate(found) if name == "train.py:main")
    return found[: start + 1][::-1]


@pytest.fixture
def source(tmp_path):
    return folder_of_audio(tmp_path / "audio", 16_000, 1)


def diffusion(source):
    outside.read(Path(toy_diffusion.__file__).with_name("toy_parts.py"))
    config = toy_diffusion.get_config()
    config.data.source = source
    return config


@pytest.mark.parametrize(
    "recipe", [lambda source: tiny("vae", source), diffusion], ids=["vae", "diffusion"]
)
def test_few_frames_from_the_verb_to_the_gradient(
    recipe, source, tmp_path, monkeypatch
):
    seen = []

    def grad(*_, **__):
        seen.append(frames())
        raise Reached

    monkeypatch.setattr(jax, "grad", grad)
    monkeypatch.setattr("diffusion_audio.recipe.load", lambda spec: recipe(source))
    monkeypatch.setattr("diffusion_audio.cli.config.load", lambda spec: recipe(source))
    with pytest.raises(Reached):
        train.main(["--config=any.py", f"--workdir={tmp_path / 'run'}"])
    assert len(seen[0]) <= MOST, seen[0]
    assert seen[0][-1].endswith(":step")
