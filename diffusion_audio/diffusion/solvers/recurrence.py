"""What all samplers are: a linear recurrence, its numbers known before it runs.

Every solver of this package makes the next state as a sum of things at hand, each
times a number that only the grid decides: the state x, a state kept from before, the
x_0 and eps that the network predicts now and predicted at the evaluations before, and
fresh noise z. So a solver is a table of float64 numbers with a row an evaluation, and
one step function serves them all: one place in the program where the network is
called, whatever the method.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.noise import example_noise
from diffusion_audio.diffusion.prediction import PREDICTIONS, x0_eps_coefficients
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.errors import UserError, unknown

Denoiser = Callable[[Array, Array], Array]
"""``denoise(x [B, ...], t [B]) -> prediction`` shaped like x."""


class Solver(NamedTuple):
    """A sampler as two pure functions.

    Attributes:
        evaluations: how often the network is called, and ``step`` with it.
        init: ``init(x) -> state``, what the solver remembers between steps.
        step: ``step(denoise, x, state, i, keys) -> (x, state)``, the i-th evaluation;
            ``keys`` [B] are the examples' keys of it.
        stops: int [n], the evaluations that end at a state of the grid.
    """

    evaluations: int
    init: Callable[[Array], Any]
    step: Callable[[Denoiser, Array, Any, Array, Key], tuple[Array, Any]]
    stops: np.ndarray


class Levels(NamedTuple):
    """Time and noise level at each evaluation, [n]."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray


class Coefficients(NamedTuple):
    """The coefficients of a new state, a row an evaluation; a column left out is 0.

    Attributes:
        x: of the state that the network was given, [n].
        kept: of the kept state, [n].
        x0: of the predictions of x_0, this evaluation's first, [n] or [n, k].
        eps: of the predictions of eps, this evaluation's first, [n] or [n, k].
        noise: of fresh noise, [n].
    """

    x: np.ndarray | None = None
    kept: np.ndarray | None = None
    x0: np.ndarray | None = None
    eps: np.ndarray | None = None
    noise: np.ndarray | None = None


class InputNoise(NamedTuple):
    """The network is given ``x * x + noise * z`` in place of x; both [n]."""

    x: np.ndarray
    noise: np.ndarray


class State(NamedTuple):
    """What is remembered: a state, and predictions, the latest first."""

    kept: Array
    x0: tuple[Array, ...]
    eps: tuple[Array, ...]


Spread = Callable[[Array, Array], Array]
"""``spread(raw, i)``: what noise is multiplied by, from the output's second half."""


def model_inputs(grid: Grid) -> Levels:
    """The levels of the model's inputs, where it is evaluated as each step begins."""
    return Levels(grid.t, grid.alpha[:-1], grid.sigma[:-1])


def recurrence(
    levels: Levels,
    new: Coefficients,
    *,
    prediction: str,
    kept: Coefficients | None = None,
    input_noise: InputNoise | None = None,
    spread: Spread | None = None,
    clip: float | None = None,
    stops: np.ndarray | None = None,
) -> Solver:
    """The solver of a table.

    Args:
        levels: of the model's inputs, [n].
        new: of the next state.
        prediction: what the network predicts, one of ``PREDICTIONS``.
        kept: of the state to keep; left out, the network's input is kept.
        input_noise: what is added to the network's input; left out, nothing.
        spread: the scale of noise where the network predicts it: the last axis of its
            output then is doubled, see ``reverse.split_variance``.
        clip: bounds the predicted x_0 to +-clip, for data known to lie there.
        stops: evaluations that end at a state of the grid; left out, all.

    Raises:
        UserError: an unknown prediction, or one that cannot be read at some level.
    """
    _check(levels, prediction)
    n = len(levels.t)
    if new.noise is not None and not np.any(new.noise):
        new = new._replace(noise=None)
    sums = (new,) if kept is None else (new, kept)
    x0_depth = max(1, *(_width(parts.x0) for parts in sums))
    eps_depth = max(1, *(_width(parts.eps) for parts in sums))
    readings = x0_eps_coefficients(prediction, levels.alpha, levels.sigma)
    whole = np.issubdtype(levels.t.dtype, np.integer)

    def init(x: Array) -> State:
        nothing = jnp.zeros_like(x)
        return State(x, (nothing,) * (x0_depth - 1), (nothing,) * (eps_depth - 1))

    def step(
        denoise: Denoiser, x: Array, state: State, i: Array, keys: Key
    ) -> tuple[Array, State]:
        def at(table: np.ndarray, dtype: Any = x.dtype) -> Array:
            row = lax.dynamic_index_in_dim(jnp.asarray(table, dtype), i)
            return row[0]

        z = jnp.zeros_like(x)
        if input_noise is not None or new.noise is not None:
            z = example_noise(keys, x.shape[1:]).astype(x.dtype)
        if input_noise is not None:
            x = at(input_noise.x) * x + at(input_noise.noise) * z
        t = at(levels.t, jnp.int32 if whole else x.dtype)
        output = denoise(x, jnp.full(x.shape[:1], t)).astype(x.dtype)
        if spread is not None:
            output, raw = split_variance(output)
            z = spread(raw, i) * z
        if output.shape != x.shape:
            raise UserError(
                f"solver: expected a prediction of shape {x.shape}, got "
                f"{output.shape}; check the denoiser"
            )
        x0, eps = (at(c) * x + at(d) * output for c, d in readings)
        if clip is not None:
            x0 = jnp.clip(x0, -clip, clip)
            eps = (x - at(levels.alpha) * x0) / at(levels.sigma)
        x0s, epss = (x0, *state.x0), (eps, *state.eps)
        at_hand = ((x,), (state.kept,), x0s, epss, (z,))

        def combined(parts: Coefficients) -> Array:
            terms = [
                at(column) * value
                for table, values in zip(parts, at_hand, strict=True)
                if table is not None
                for column, value in zip(table.reshape(n, -1).T, values, strict=False)
            ]
            return sum(terms[1:], start=terms[0])

        keep = x if kept is None else combined(kept)
        return combined(new), State(keep, x0s[:-1], epss[:-1])

    return Solver(n, init, step, np.arange(n) if stops is None else stops)


def _width(table: np.ndarray | None) -> int:
    """How many predictions a column looks back over, this one included."""
    return 0 if table is None else table.reshape(len(table), -1).shape[1]


def _check(levels: Levels, prediction: str) -> None:
    """Refuses levels at which the prediction does not say what x_0 and eps are."""
    if prediction not in PREDICTIONS:
        raise unknown("prediction", prediction, PREDICTIONS)
    if prediction == "epsilon" and np.any(levels.alpha == 0):
        raise UserError(
            f"at t = {levels.t[levels.alpha == 0][0]:g} nothing of the data is left "
            "(alpha = 0), so predicted noise does not give it; train the network to "
            "predict 'v', or take a spacing that starts later, such as 'leading'"
        )
    if prediction == "x0" and np.any(levels.sigma == 0):
        raise UserError(
            f"at t = {levels.t[levels.sigma == 0][0]:g} there is no noise (sigma = 0), "
            "so predicted data say nothing of it; inversion needs 'epsilon' or 'v'"
        )
