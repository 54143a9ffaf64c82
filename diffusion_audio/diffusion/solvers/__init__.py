"""Samplers: the reverse of a noising process, each function named after its paper.

All take where to stop from a `Grid` and what the network predicts, and none knows a
schedule, so each runs variance-preserving chains, EDM's sigmas and rectified flow.
"""

from collections.abc import Callable
from typing import Any

from diffusion_audio.diffusion.choice import choose
from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.solvers.ddim import ddim
from diffusion_audio.diffusion.solvers.ddpm import ddpm
from diffusion_audio.diffusion.solvers.dpm_solver import (
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_3m,
)
from diffusion_audio.diffusion.solvers.euler import euler, euler_ancestral
from diffusion_audio.diffusion.solvers.heun import heun
from diffusion_audio.diffusion.solvers.pndm import pndm
from diffusion_audio.diffusion.solvers.recurrence import Denoiser, Solver
from diffusion_audio.diffusion.solvers.unipc import unipc

SOLVERS: dict[str, Callable[..., Solver]] = {
    solver.__name__: solver
    for solver in (
        ddpm,
        ddim,
        pndm,
        euler,
        euler_ancestral,
        heun,
        dpmpp_2m,
        dpmpp_2m_sde,
        dpmpp_3m,
        unipc,
    )
}

__all__ = ["SOLVERS", "Denoiser", "Solver", "make_solver", *SOLVERS]


def make_solver(
    name: str, grid: Grid, prediction: str = "epsilon", **options: Any
) -> Solver:
    """A solver by name.

    Args:
        name: a key of ``SOLVERS``.
        grid: where to stop on the way.
        prediction: what the network predicts.
        **options: of that solver.

    Raises:
        UserError: an unknown solver, an option that it does not have, or one that
            cannot be.
    """
    solver: Solver = choose("solver", SOLVERS, name, options, grid, prediction)
    return solver
