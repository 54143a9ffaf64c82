"""The ``sampling`` group of a diffusion config: solver, grid and guidance."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.grid import make_grid
from diffusion_audio.diffusion.guidance import classifier_free, interval_of
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.process import Process
from diffusion_audio.diffusion.solvers import Denoiser, Solver, make_solver
from diffusion_audio.errors import UserError
from diffusion_audio.settings import Choice


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How samples are drawn.

    Attributes:
        solver: ``name``, one of `diffusion.solvers.SOLVERS`, and its options; one that
            is None is the solver's own.
        steps: number of solver steps.
        spacing: of the noise levels; see `diffusion.grid.make_grid`, as for the next
            three.
        steps_offset: added to leading timesteps.
        endpoint: whether the denoiser is called at the last time of the spacing too.
        final: where the last step lands.
        guidance: classifier-free guidance scale; 1 is none.
        guidance_rescale: see `diffusion.guidance.classifier_free`.
        guidance_interval: noise-to-data ratios between which guidance acts; None for
            everywhere.
    """

    solver: Mapping[str, Any] = Choice(name="ddim")
    steps: int = 50
    spacing: str = "trailing"
    steps_offset: int = 0
    endpoint: bool = True
    final: str = "data"
    guidance: float = 3.0
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] | None = None

    @property
    def learned_variance(self) -> bool:
        """Whether the network's own variance is sampled with."""
        return self.solver.get("variance") == "learned_range"

    def of_solver(self, name: str) -> "SamplingConfig":
        """The same with another solver, whose own options are as it has them."""
        if name == self.solver["name"]:
            return self
        return dataclasses.replace(self, solver=Choice(name=name))


def make_sampler(cfg: SamplingConfig, process: Process, objective: Objective) -> Solver:
    """The solver that a config names, on its grid.

    Raises:
        UserError: an unknown name, or a setting out of its range.
    """
    if cfg.learned_variance and not objective.learned_variance:
        raise UserError(
            "config.sampling.solver.variance=learned_range needs a network taught "
            "it, by config.loss.learned_variance; take beta or beta_tilde"
        )
    grid = make_grid(
        process,
        cfg.steps,
        spacing=cfg.spacing,
        steps_offset=cfg.steps_offset,
        endpoint=cfg.endpoint,
        final=cfg.final,
    )
    options = {key: value for key, value in cfg.solver.items() if key != "name"}
    name = cfg.solver["name"]
    return make_solver(name, grid, objective.prediction, **options)


def guide(
    cfg: SamplingConfig, process: Process, denoise2: Denoiser, scale: float | Array
) -> Denoiser:
    """The guided denoiser of a config, but for its scale; see `guidance`."""
    interval = cfg.guidance_interval
    return classifier_free(
        denoise2,
        scale,
        rescale=cfg.guidance_rescale,
        interval=None if interval is None else interval_of(process, *interval),
        learned_variance=cfg.learned_variance,
    )
