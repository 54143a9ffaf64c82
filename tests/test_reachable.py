"""Every setting has its place in a recipe, so that the command line can change it."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import diffusion_audio
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.diffusion import families, schedule
from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.solvers import SOLVERS
from diffusion_audio.diffusion.timestep_samplers import TIMESTEP_SAMPLERS
from diffusion_audio.diffusion.weighting import WEIGHTINGS
from diffusion_audio.models.classifier import ClassifierConfig
from diffusion_audio.models.discriminators import MPDConfig, MSDConfig
from diffusion_audio.models.stft_discriminator import MRDConfig
from diffusion_audio.runs.resolve import COMPONENTS, FROZEN
from diffusion_audio.systems import autoencoders, conditioners, denoisers, vocoders
from diffusion_audio.systems.objective import DiffusionLossConfig, LikelihoodConfig
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.training.ema import EMAConfig
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.prompts import ListenConfig
from diffusion_audio.training.tasks.classifier import AugmentConfig
from diffusion_audio.training.tasks.vae import VAELossConfig
from diffusion_audio.training.vocoder_loss import VocoderLossConfig
from tests.recipes import recipe
from tests.test_recipes import PRESETS

EVERY = {
    "data": DataConfig,
    "optimizer": OptimizerConfig,
    "ema": EMAConfig,
    "train": TrainConfig,
    "parallel": ParallelConfig,
}
OF_TASK = {
    "vae": {"loss": VAELossConfig},
    "vocoder": {"loss": VocoderLossConfig},
    "classifier": {"augment": AugmentConfig, "classifier": ClassifierConfig},
    "diffusion": {
        "loss": DiffusionLossConfig,
        "sampling": SamplingConfig,
        "listen": ListenConfig,
        "likelihood": LikelihoodConfig,
    },
}
PARTS = {
    "autoencoder": autoencoders.TABLE,
    "denoiser": denoisers.TABLE,
    "vocoder": vocoders.TABLE,
}
DISCRIMINATORS = {"mpd": MPDConfig, "msd": MSDConfig, "mrd": MRDConfig}
CHOICES = {"loss.weighting": WEIGHTINGS, "loss.times": TIMESTEP_SAMPLERS}


def fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def options(*functions: Any) -> set[str]:
    """Arguments with a default: those of a choice are its options."""
    return {
        name
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }


def of_schedule(name: str) -> set[str]:
    if name == "rectified_flow":
        return fields(RectifiedFlow)
    return options(schedule.make_schedule, families.FAMILIES[name]) - {"name"}


def expected(task: str, config: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Each group of a recipe, and the keys that the library knows for it."""
    yield "audio", fields(AudioSpec) | {"preset"}
    for group, cls in (EVERY | OF_TASK[task]).items():
        yield group, fields(cls)
    for group, table in PARTS.items():
        if group in config:
            yield group, fields(table[config[group]["name"]].config) | {"name"}
    for label, values in config.get("conditioners", {}).items():
        cls = conditioners.TABLE[values["name"]].config
        yield f"conditioners.{label}", fields(cls) | {"name"}
    for kind in config.get("discriminators", {}):
        yield f"discriminators.{kind}", fields(DISCRIMINATORS[kind])
    if "components" in config:
        mine = COMPONENTS if task == "diffusion" else FROZEN
        yield "components", set(mine)
    if task == "diffusion":
        yield "schedule", of_schedule(config["schedule"]["name"]) | {"name"}
        # One that is None is the solver's own.
        of_solvers = options(*SOLVERS.values()) - {"prediction"}
        yield "sampling.solver", of_solvers | {"name"}
        for group, table in CHOICES.items():
            name = at(config, group)["name"]
            yield group, options(table[name]) | {"name"}


def at(config: dict[str, Any], group: str) -> dict[str, Any]:
    for name in group.split("."):
        config = config[name]
    return config


@pytest.mark.parametrize(("task", "preset"), PRESETS)
def test_a_recipe_has_every_setting_and_no_other(task, preset):
    config = recipe(task, preset).to_dict()
    wanted = dict(expected(task, config))
    assert {group: set(at(config, group)) for group in wanted} == wanted
    named = {group.partition(".")[0] for group in wanted}
    assert set(config) == named | {"task", "seed"}


def test_no_settings_are_of_no_recipe():
    """Those of networks are reached through the tables; the rest is listed above."""
    root = Path(diffusion_audio.__file__).parent
    texts = [
        path.read_text(encoding="utf-8")
        for room in ("data", "systems", "training")
        for path in sorted((root / room).rglob("*.py"))
    ]
    found = set(re.findall(r"^class (\w+Config)\b", "\n".join(texts), re.MULTILINE))
    listed = [*EVERY.values(), *(c for of in OF_TASK.values() for c in of.values())]
    assert found <= {cls.__name__ for cls in listed}
    assert len(found) > 10
