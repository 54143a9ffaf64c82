"""The ``sampling`` group of a diffusion config: solver, grid and guidance."""

import dataclasses
from typing import Any

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.grid import make_grid
from diffusion_audio.diffusion.guidance import classifier_free, interval_of
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.process import Process
from diffusion_audio.diffusion.solvers import Denoiser, Solver, make_solver
from diffusion_audio.errors import UserError

SOLVER_OPTIONS = ("eta", "churn", "variance", "order")


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How samples are drawn.

    Attributes:
        solver: one of `diffusion.solvers.SOLVERS`.
        steps: number of solver steps.
        spacing: of the noise levels; see `diffusion.grid.make_grid`, as for the next
            three.
        steps_offset: added to leading timesteps.
        endpoint: whether the last time of the spacing is asked at too.
        final: where the last step lands.
        guidance: classifier-free guidance scale; 1 is none.
        guidance_rescale: see `diffusion.guidance.classifier_free`.
        guidance_interval: noise-to-data ratios between which guidance acts; None for
            everywhere.
        eta: noise of ddim and euler_ancestral, 0 (none) to 1; None for the solver's
            own, as for the next three.
        churn: noise that euler and heun put in.
        variance: of ddpm.
        order: of unipc.
    """

    solver: str = "ddim"
    steps: int = 50
    spacing: str = "trailing"
    steps_offset: int = 0
    endpoint: bool = True
    final: str = "data"
    guidance: float = 3.0
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] | None = None
    eta: float | None = None
    churn: float | None = None
    variance: str | None = None
    order: int | None = None

    @property
    def learned_variance(self) -> bool:
        """Whether the network's own variance is sampled with."""
        return self.variance == "learned_range"

    def of_solver(self, solver: str) -> "SamplingConfig":
        """The same with another solver, whose own options are as it has them."""
        if solver == self.solver:
            return self
        own: dict[str, Any] = dict.fromkeys(SOLVER_OPTIONS)
        return dataclasses.replace(self, solver=solver, **own)


def make_sampler(cfg: SamplingConfig, process: Process, objective: Objective) -> Solver:
    """The solver that a config names, on its grid.

    Raises:
        UserError: an unknown name, or settings that cannot be.
    """
    if cfg.learned_variance and not objective.learned_variance:
        raise UserError(
            "config.sampling.variance=learned_range needs a network that was taught "
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
    options = {name: getattr(cfg, name) for name in SOLVER_OPTIONS}
    return make_solver(cfg.solver, grid, objective.prediction, **options)


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
