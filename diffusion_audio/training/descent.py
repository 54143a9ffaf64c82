"""The step of a task with one loss: gradient, update, average."""

from collections.abc import Callable

import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.training import ema
from diffusion_audio.training.gradients import gradients
from diffusion_audio.training.task import Mean, State, apply_gradients

TaskLoss = Callable[[Params, Params, Batch, Key, Array], tuple[Array, Metrics]]


def descend(
    loss: TaskLoss,
    optimizer: optax.GradientTransformation,
    average: ema.EMAConfig,
    parts: int = 1,
) -> Callable[[State, Batch, Key, Mean], tuple[State, Metrics]]:
    """A `Task.step` that follows the gradient of one loss.

    Args:
        loss: ``loss(params, frozen, batch, key, step) -> (mean over examples,
            metrics)`` with the run's root key.
        optimizer: what turns gradients into updates.
        average: of the parameters.
        parts: pieces a batch is computed in; see `gradients`.
    """

    def step(state: State, batch: Batch, key: Key, mean: Mean) -> tuple[State, Metrics]:
        def of_part(params: Params, part: Batch) -> tuple[Array, Metrics]:
            return loss(params, state["frozen"], part, key, state["step"])

        grads, metrics = mean(gradients(of_part, state["params"], batch, parts))
        params, opt = apply_gradients(optimizer, grads, state["opt"], state["params"])
        changed = {
            "step": state["step"] + 1,
            "params": params,
            "opt": opt,
            "ema": ema.update(average, state["ema"], params, state["step"]),
        }
        return state | changed, metrics | {"grad_norm": optax.tree.norm(grads)}

    return step
