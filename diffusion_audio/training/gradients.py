"""Which gradients of a step are not finite: for who looks back at it, after the fact.

A step shows its gradients in each update (`update.apply_gradients`) while it is traced.
Where nobody looks, as in training, that is nothing in the compiled program.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.training.parallel import Step, compile_step

_look: ContextVar[Callable[[Params], None] | None] = ContextVar("look", default=None)


def show(grads: Params) -> None:
    """Lets who looks see the gradients of an update."""
    if (look := _look.get()) is not None:
        look(grads)


def finite(
    step: Step, mesh: Mesh, mode: str, state: State, batch: Batch, key: Key
) -> dict[str, bool]:
    """Of each parameter whether its gradient is finite.

    Args:
        step: of a task.
        mesh: the devices.
        mode: of `compile_step`.
        state: before the step; donated.
        batch: of the step.
        key: of the run.

    Returns:
        By the names of parameters; empty of a task that updates them by itself.
    """
    found: dict[str, bool] = {}

    def note(names: list[str], good: Any) -> None:
        found.update(zip(names, map(bool, good), strict=True))

    def looked_at(state: State, *rest: Any) -> tuple[State, Metrics]:
        def look(grads: Params) -> None:
            names = _names(grads, state["params"])
            good: list[Array] = [jnp.isfinite(x).all() for x in jax.tree.leaves(grads)]
            jax.debug.callback(partial(note, names), jnp.stack(good))

        token = _look.set(look)
        try:
            return step(state, *rest)
        finally:
            _look.reset(token)

    jax.block_until_ready(compile_step(looked_at, mesh, mode)(state, batch, key))
    jax.effects_barrier()
    return found


def _names(grads: Params, params: Params) -> list[str]:
    """Names of gradients: of all parameters, or of a part that has its own update."""
    names = _paths(grads)
    part = next((part for part, own in params.items() if _paths(own) == names), "")
    return [f"{part}/{name}" if part else name for name in names]


def _paths(tree: Params) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]
