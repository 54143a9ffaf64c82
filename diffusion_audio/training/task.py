"""What the training loop knows of a thing that can be trained.

A task is three functions on a state. The state is a dict of arrays, so that it
is compiled, sharded, donated and saved without knowing what is inside:

``step``    int32, number of updates done
``params``  what the optimiser changes
``opt``     the optimiser's own state
``ema``     averaged copies of parameters (may be empty)
``frozen``  what the task needs but never changes (a trained VAE, the latent scale)
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Batch, Key, Metrics, Params

State = dict[str, Any]

Mean = Callable[[Any], Any]
"""Averages a tree over devices; the identity where the compiler does it."""


class Evaluation(NamedTuple):
    """What a task shows of itself between training steps.

    Attributes:
        metrics: scalars by name, on data that training does not see.
        audio: waveforms float32 [N] by name, at the task's sample rate.
        pictures: mel pictures float32 [T, F] by name.
    """

    metrics: dict[str, float]
    audio: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]


class Task(NamedTuple):
    """A thing to train.

    Attributes:
        init: ``init(key, batch, frozen) -> state``. The batch is a real one, for
            what is measured from data (the latent scale); ``frozen`` holds the
            trained parts by name. Without it they are initialised at random,
            which is for shapes only (`jax.eval_shape`).
        step: ``step(state, batch, key, mean) -> (state, metrics)``, pure. The
            key is the root key: a step derives its randomness from it, from the
            step number and from ``batch["index"]`` (see `randomness`).
            Gradients and metrics go through ``mean``.
        evaluate: ``evaluate(state, batches, key) -> Evaluation``; draws what it
            needs from a finite iterator of batches.
    """

    init: Callable[..., State]
    step: Callable[[State, Batch, Key, Mean], tuple[State, Metrics]]
    evaluate: Callable[[State, Iterator[Batch], Key], Evaluation]


def new_state(
    params: Params, opt: Any, ema: Params | None = None, frozen: Params | None = None
) -> State:
    """The state before the first update."""
    return {
        "step": jnp.zeros((), jnp.int32),
        "params": params,
        "opt": opt,
        "ema": ema if ema is not None else {},
        "frozen": frozen if frozen is not None else {},
    }


def apply_gradients(
    optimizer: optax.GradientTransformation, grads: Params, opt: Any, params: Params
) -> tuple[Params, Any]:
    """One update of the optimiser.

    Returns:
        The new parameters and the new optimiser state.
    """
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
        updates, opt = optimizer.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt
