"""The groups ``loss`` and ``likelihood`` of a diffusion config."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.timestep_samplers import (
    TimestepSampler,
    make_timestep_sampler,
)
from diffusion_audio.diffusion.weighting import make_weighting
from diffusion_audio.errors import UserError


@dataclasses.dataclass(frozen=True)
class DiffusionLossConfig:
    """Settings of the diffusion loss.

    Attributes:
        condition_dropout: chance that an example is trained without its caption,
            which is what classifier-free guidance compares with.
        prediction: what the network predicts; see `diffusion.prediction`.
        weighting: ``name`` and options; see `diffusion.weighting`.
        times: ``name`` and options of how times are drawn; see
            `diffusion.timestep_samplers`.
        learned_variance: learn the variance of the reverse steps too, in as many
            output channels more; see `diffusion.reverse`.
        bound_weight: of the variational bound, where it is learned.
    """

    condition_dropout: float = 0.1
    prediction: str = "epsilon"
    weighting: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "simple"}
    )
    times: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "uniform"}
    )
    learned_variance: bool = False
    bound_weight: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.condition_dropout < 1:
            raise UserError(
                "config.loss.condition_dropout must lie in [0, 1), not "
                f"{self.condition_dropout}"
            )

    def objective(self) -> Objective:
        """What the network is trained to predict, and how errors count."""
        return Objective(
            self.prediction,
            make_weighting(**self.weighting),
            self.learned_variance,
            self.bound_weight,
        )

    def timestep_sampler(self, batch_size: int) -> TimestepSampler:
        """How times are drawn for batches of so many examples."""
        return make_timestep_sampler(batch_size=batch_size, **self.times)


@dataclasses.dataclass(frozen=True)
class LikelihoodConfig:
    """How probable an evaluation finds its first batch; see `diffusion.likelihood`.

    Attributes:
        bound: measure the variational bound, one network evaluation a step of the
            chain.
        ode_steps: of the probability-flow ODE; 0 not to measure it.
        probes: of its trace, 2 or more to know the error.
    """

    bound: bool = False
    ode_steps: int = 0
    probes: int = 4
