"""From noise to data: one compiled loop over a solver's steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.noise import example_keys
from diffusion_audio.diffusion.solvers import Denoiser, Solver


def sample(
    solver: Solver,
    denoise: Denoiser,
    x: Array,
    key: Key,
    *,
    indices: Array | None = None,
    trajectory: bool = False,
) -> Array:
    """Runs a solver from noise to data, as one ``lax.scan`` without host sync.

    The network stands in the program once, however many times a solver calls it.

    Call it inside one ``jax.jit`` whose arguments are what changes (parameters,
    conditions, guidance scale, ``x``, ``key``, ``indices``): then only the first call
    compiles. Noise of evaluation i is drawn from ``fold_in(fold_in(key, i), index)``,
    so an example comes out the same in any batch.

    Args:
        solver: from ``solvers``.
        denoise: ``denoise(x, t)`` -> the prediction that the solver was made for.
        x: where to start, [B, ...]: standard normal times hypot(alpha, sigma) of the
            grid's first state, which is 1 but for EDM's sigmas.
        key: of the noise that stochastic solvers add; not the one ``x`` came from.
        indices: int32 [B], each example's place in all that is sampled under ``key``;
            left out, its place in this batch.
        trajectory: return every state of the grid.

    Returns:
        x_0, [B, ...]; with ``trajectory`` the states of the grid, [n + 1, B, ...].
    """
    if indices is None:
        indices = jnp.arange(len(x), dtype=jnp.int32)

    evaluate = _evaluation(solver, denoise, key, indices)

    def body(carry: tuple[Array, Any], i: Array) -> tuple[tuple[Array, Any], Any]:
        x, state = evaluate(i, carry)
        return (x, state), x if trajectory else None

    steps = jnp.arange(solver.evaluations, dtype=jnp.int32)
    (x0, _), xs = jax.lax.scan(body, (x, solver.init(x)), steps)
    return jnp.concatenate([x[None], xs[solver.stops]]) if trajectory else x0


def advance(
    solver: Solver,
    denoise: Denoiser,
    carry: tuple[Array, Any],
    key: Key,
    *,
    indices: Array,
    start: Array | int,
    stop: Array | int,
) -> tuple[Array, Any]:
    """Some evaluations of a solver: `sample`, a piece at a time.

    ``start`` and ``stop`` may be traced, so one program makes pieces of any length: all
    at once, or one evaluation a call where someone watches.

    Args:
        solver: from ``solvers``.
        denoise: as for `sample`.
        carry: ``(x, solver.init(x))`` before the first.
        key: as for `sample`, the same for every piece.
        indices: int32 [B].
        start: number of the first evaluation, counted from 0.
        stop: the one after the last; ``solver.evaluations`` ends in x_0.

    Returns:
        The carry after them, x [B, ...] its first.
    """
    evaluate = _evaluation(solver, denoise, key, indices)
    return jax.lax.fori_loop(jnp.int32(start), jnp.int32(stop), evaluate, carry)


def _evaluation(
    solver: Solver, denoise: Denoiser, key: Key, indices: Array
) -> Callable[[Array, tuple[Array, Any]], tuple[Array, Any]]:
    """What evaluation i makes of a state and what the solver remembers."""

    def evaluate(i: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        keys = example_keys(jax.random.fold_in(key, i), indices)
        return solver.step(denoise, *carry, i, keys)

    return evaluate
