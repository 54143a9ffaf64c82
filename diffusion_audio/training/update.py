"""One update of what is trained: gradient, optimiser, average.

A task with one loss is trained by

    gradient = accumulated(jax.grad(loss, has_aux=True), rule.parts)
    grads, metrics = mean_over_devices(gradient(state["params"], state, batch, key))
    state = rule.update(state, grads)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from diffusion_audio.aliases import Array, Batch, Key, Params, State
from diffusion_audio.errors import UserError
from diffusion_audio.rows import mean_by_rows
from diffusion_audio.settings import settings
from diffusion_audio.training import ema, gradients
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.task import new_state

Gradient = Callable[[Params, State, Batch, Key], tuple[Params, Any]]
"""``gradient(params, state, batch, key) -> (gradient, what else the loss tells)``."""


class UpdateRule(NamedTuple):
    """How gradients change a state. Made by `update_rule`.

    Attributes:
        optimizer: what turns gradients into updates.
        average: of the parameters.
        parts: pieces a batch is computed in.
    """

    optimizer: optax.GradientTransformation
    average: ema.EMAConfig
    parts: int = 1

    def start(self, params: Params, frozen: Params | None = None) -> State:
        """The state before the first update."""
        opt, average = self.optimizer.init(params), ema.start(self.average, params)
        return new_state(params, opt, average, frozen)

    def update(self, state: State, grads: Params) -> State:
        """The state after one update."""
        params, opt = apply_gradients(
            self.optimizer, grads, state["opt"], state["params"]
        )
        return state | {
            "step": state["step"] + 1,
            "params": params,
            "opt": opt,
            "ema": ema.update(self.average, state["ema"], params, state["step"]),
        }


def update_rule(config: Mapping[str, Any]) -> UpdateRule:
    """The rule of a config's groups optimizer, ema and train."""
    train = settings(TrainConfig, config, "train")
    return UpdateRule(
        make_optimizer(settings(OptimizerConfig, config, "optimizer"), train.steps),
        settings(ema.EMAConfig, config, "ema"),
        train.accumulate,
    )


def apply_gradients(
    optimizer: optax.GradientTransformation, grads: Params, opt: Any, params: Params
) -> tuple[Params, Any]:
    """One update of the optimiser; every update of a step is by this.

    Returns:
        The new parameters and the new optimiser state.
    """
    gradients.show(grads)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
        updates, opt = optimizer.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt


def accumulated(gradient: Gradient, parts: int) -> Gradient:
    """The same gradient, of a batch that goes through in parts, one after the other.

    In a fraction of the memory. As a draw is addressed by the example's index and the
    loss is a mean over examples, the result is that of the whole batch up to rounding.
    What else the loss tells is the mean of the parts', of each device's own.

    Args:
        gradient: of a mean over examples; ``jax.grad(loss, has_aux=True)``.
        parts: number of pieces; divides the number of examples.

    Raises:
        UserError: when it is called: the batch cannot be cut into equal parts.
    """
    if parts == 1:
        return gradient

    def cut(x: Array) -> Array:
        if x.shape[0] % parts:
            raise UserError(
                f"a batch of {x.shape[0]} examples a device cannot be accumulated in "
                f"{parts} parts; change config.data.batch_size or "
                "config.train.accumulate"
            )
        # Strided, so that with a batch sharded over devices every device works
        # on its own examples in every part.
        return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)

    def in_parts(batch: Batch, params: Params, state: State, key: Key) -> Any:
        def add(total: Params, part: Batch) -> tuple[Params, Any]:
            grads, aux = gradient(params, state, part, key)
            return jax.tree.map(lambda t, g: t + g / parts, total, grads), aux

        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, aux = jax.lax.scan(add, zeros, jax.tree.map(cut, batch))
        return grads, jax.tree.map(lambda m: jnp.mean(m, axis=0), aux)

    def whole(
        params: Params, state: State, batch: Batch, key: Key
    ) -> tuple[Params, Any]:
        # Devices add up their gradients after the last part, and not after each.
        made: tuple[Params, Any] = mean_by_rows(
            in_parts, batch, params, state, key, parts=parts
        )
        return made

    return whole
