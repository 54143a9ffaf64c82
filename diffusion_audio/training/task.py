"""What the training loop knows of a thing that can be trained.

A task is functions on a state. The state is a dict of arrays, so that it is compiled,
sharded, donated and saved without knowing what is inside:

``step``    int32, number of updates done
``params``  what the optimiser changes, by part
``opt``     the optimiser's own state
``ema``     averaged copies of parameters (may be empty)
``frozen``  what the task needs but never changes (a trained VAE, the latent scale)

and what else a task carries from step to step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.data.source import Clip, Source
from diffusion_audio.runs.metric_log import Evaluation


class Data(NamedTuple):
    """What a task is made for, beside its settings.

    Attributes:
        train: the clips to learn from.
        held: the clips to evaluate on.
        kept: the extras of the run that goes on (`runs.extras`); None for a new one.
    """

    train: Source
    held: Source
    kept: Mapping[str, str] | None = None


def no_inputs(clips: Sequence[Clip]) -> dict[str, Any]:
    """Nothing of what clips say."""
    del clips
    return {}


def nothing_drawn(state: State, batch: Batch, key: Key) -> dict[str, Array]:
    """Of a step that draws nothing."""
    del state, batch, key
    return {}


class Task(NamedTuple):
    """A thing to train.

    Attributes:
        init: ``init(key, batch, frozen) -> state``. The batch is a real one, for
            what is measured from data (the latent scale); ``frozen`` holds the
            trained parts by name. Without it they are initialised at random, which is
            for shapes only (`jax.eval_shape`).
        step: ``step(state, batch, key) -> (state, metrics)``, pure. The key is the
            root key: a step derives its randomness from it, from the step number and
            from ``batch["index"]`` (see `diffusion.noise`).
            Gradients and metrics go through `parallel.mean_over_devices`.
        evaluate: ``evaluate(state, batches, key) -> Evaluation``; draws what it
            needs from a finite iterator of batches.
        inputs: what a batch holds of its clips beside their audio, [B, ...] by name.
        extras: text files that belong to what is trained, by name (`runs.extras`).
        components: loads the trained parts that ``init`` takes; those of the config's
            group ``components`` where None.
        encode: ``encode(frozen, audio [B, N])``, what may be computed once of each clip
            and stand in batches as ``moments`` in place of the audio; None for nothing.
        uses: settings of ``config.data`` that not every task uses.
        drawn: ``drawn(state, batch, key)``, what ``step`` draws for each example and
            what comes of it, [B, ...] by name, to be looked at (`training.replay`).
    """

    init: Callable[..., State]
    step: Callable[[State, Batch, Key], tuple[State, Metrics]]
    evaluate: Callable[[State, Iterator[Batch], Key], Evaluation]
    inputs: Callable[[Sequence[Clip]], dict[str, Any]] = no_inputs
    extras: Mapping[str, str] = {}
    components: Callable[[], Params] | None = None
    encode: Callable[[Params, Array], Array] | None = None
    uses: tuple[str, ...] = ()
    drawn: Callable[[State, Batch, Key], dict[str, Array]] = nothing_drawn


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
