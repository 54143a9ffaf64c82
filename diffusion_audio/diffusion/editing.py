"""Sampling that begins with given data, or keeps a part of them.

Each changes the grid or the solver; what runs them is ``sampling.sample`` as always.
"""

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.grid import Grid, tail
from diffusion_audio.diffusion.noise import example_noise
from diffusion_audio.diffusion.solvers.recurrence import Denoiser, Solver
from diffusion_audio.errors import UserError


def inverse(grid: Grid) -> Grid:
    """The way back, from data to noise: DDIM inversion; Song et al. 2021, section 4.3.

    ``sample(ddim(inverse(grid)), denoise, x0, key)`` gives the noise from which
    ``ddim(grid)`` makes ``x0`` again, the better the more steps there are. A step
    evaluates the network at the time to which it leads, as the step of ``grid`` that
    it undoes does (so does the code of Mokady et al. 2023; their section 3.1 writes
    the time that it leaves). Guide neither way, or both with scale 1.
    """
    return Grid(grid.t[::-1], grid.alpha[::-1], grid.sigma[::-1], grid.locate)


def partial(grid: Grid, strength: float) -> Grid:
    """The last steps of a grid, to start from noised data; SDEdit, Meng et al. 2022.

    ``sample(solver(part), denoise, noised(part, x0, eps), key)`` keeps the coarse
    features of ``x0`` and makes the fine ones anew.

    Args:
        grid: the whole walk of n steps.
        strength: share of the steps to take: near 0 leaves the data as they are, 1
            takes all n.

    Raises:
        UserError: no step is left, or the strength is above 1.
    """
    if not 0 < strength <= 1 or round(strength * grid.n) < 1:
        raise UserError(
            f"strength must lie in (0, 1] and leave a step of {grid.n} to take, got "
            f"{strength}"
        )
    return tail(grid, round(strength * grid.n))


def noised(grid: Grid, x0: Array, eps: Array) -> Array:
    """Data at the noise level where a grid begins.

    Args:
        grid: whose first state it is.
        x0: data, [B, ...].
        eps: standard normal, shaped like ``x0``.
    """
    return float(grid.alpha[0]) * x0 + float(grid.sigma[0]) * eps


def keeping(solver: Solver, grid: Grid, known: Array, mask: Array) -> Solver:
    """A solver that makes only a part of the data; RePaint, Lugmayr et al. 2022, eq. 8.

    After each step the known part is put back at that step's noise level, with fresh
    noise, so that the network completes it. It ends in ``known`` exactly.

    Args:
        solver: made of ``grid``; one that adds noise joins the parts better.
        grid: where it stops on the way.
        known: data, [B, ...]; what is not kept of them is not looked at.
        mask: 1 to keep, 0 to make anew; of a shape that broadcasts to ``known``.
    """
    if known.ndim != mask.ndim:
        raise UserError(
            f"mask of shape {mask.shape} does not fit data of shape {known.shape}; "
            "give it as many axes, of length 1 where it is the same"
        )
    level = np.zeros(solver.evaluations, np.int32)  # 0: between the states
    level[solver.stops] = np.arange(1, grid.n + 1)

    def step(
        denoise: Denoiser, x: Array, state: object, i: Array, keys: Key
    ) -> tuple[Array, object]:
        x, state = solver.step(denoise, x, state, i, keys)
        at = jnp.asarray(level)[i]
        alpha, sigma = (
            jnp.asarray(table, x.dtype)[at] for table in (grid.alpha, grid.sigma)
        )
        fresh = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 1)
        eps = example_noise(fresh, x.shape[1:]).astype(x.dtype)
        keep = jnp.where(at > 0, mask.astype(x.dtype), jnp.zeros((), x.dtype))
        return keep * (alpha * known + sigma * eps) + (1 - keep) * x, state

    return solver._replace(step=step)
