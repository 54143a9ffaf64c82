"""What a diffusion config says, put together: parts, rule of updates, evaluations."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import logging

from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.diffusion.timestep_samplers import TimestepSampler
from diffusion_audio.errors import UserError
from diffusion_audio.settings import settings
from diffusion_audio.systems.objective import DiffusionLossConfig, LikelihoodConfig
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import System, build
from diffusion_audio.training.prompts import ListenConfig, Prompts
from diffusion_audio.training.update import UpdateRule, update_rule


@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion:
    """What does not change while a run trains. Made by `configure`.

    Attributes:
        system: the parts.
        rule: how gradients change them.
        timestep_sampler: how the times of examples are drawn.
        condition_dropout: chance that an example is trained without its caption.
        sampling: how evaluations draw samples.
        listen: the sounds of evaluations.
        likelihood: whether and how evaluations measure it.
        samples: of a training segment.
        prompts: how prompts become arrays; set by `make`, since it is learned.
    """

    system: System
    rule: UpdateRule
    timestep_sampler: TimestepSampler
    condition_dropout: float
    sampling: SamplingConfig
    listen: ListenConfig
    likelihood: LikelihoodConfig
    samples: int
    prompts: Prompts = dataclasses.field(default_factory=Prompts)


def configure(config: Mapping[str, Any]) -> Diffusion:
    """The settings of a resolved config.

    Groups: those of `systems.system.build`, data, sampling, listen, optimizer, ema and
    train; likelihood where it is to be measured.

    Raises:
        UserError: something is impossible or does not fit the rest.
    """
    system = build(config)
    if "conditioners" not in config.get("components", {}):
        for label in system.conditioning.frozen:
            logging.warning(
                "conditioner %s is not trained and no weights are given for it: it "
                "stays as it is initialised",
                label,
            )
    system.autoencoder.check(system.spec, config["data"]["seconds"])
    cfg = settings(DiffusionLossConfig, config, "loss")
    sampling = settings(SamplingConfig, config, "sampling")
    system.sampler(sampling)  # says now what an evaluation would say hours later
    likelihood = settings(LikelihoodConfig, {"likelihood": {}, **config}, "likelihood")
    if likelihood.bound and not isinstance(system.process, Schedule):
        raise UserError(
            "config.likelihood.bound is of the steps of a chain; rectified_flow has "
            "none: set config.likelihood.ode_steps instead"
        )
    return Diffusion(
        system=system,
        rule=update_rule(config),
        timestep_sampler=cfg.timestep_sampler(config["data"]["batch_size"]),
        condition_dropout=cfg.condition_dropout,
        sampling=sampling,
        listen=settings(ListenConfig, config, "listen"),
        likelihood=likelihood,
        samples=round(config["data"]["seconds"] * system.spec.sample_rate),
    )
