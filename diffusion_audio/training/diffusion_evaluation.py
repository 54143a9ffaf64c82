"""What an evaluation of latent diffusion shows: loss, likelihood, sounds of prompts."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.diffusion.likelihood import (
    bits_per_dim,
    ode_likelihood,
    variational_bound,
)
from diffusion_audio.diffusion.noise import (
    example_keys,
    example_noise,
    purpose_key,
    step_key,
)
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.diffusion.timestep_samplers import make_timestep_sampler
from diffusion_audio.rows import whole
from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.training import ema
from diffusion_audio.training.diffusion_settings import Diffusion
from diffusion_audio.training.parallel import to_host

EVALUATION_STEP = 2**31 - 1  # address of the noise of every evaluation
BATCHES = 8


def evaluate(
    task: Diffusion,
    loss: Callable[..., Any],
    state: State,
    batches: Iterator[Batch],
    key: Key,
) -> Evaluation:
    """The loss of the averages on a few batches, and what they make of prompts."""
    params = ema.best(state["ema"], state["params"])
    losses: list[float] = []
    found: Metrics = {}
    for batch in islice(batches, BATCHES):
        if not losses:
            found = likelihood(task, params, state["frozen"], batch, key)
        losses.append(float(mean_loss(task, loss, params, state, batch, key)))
    metrics = {"loss": float(np.mean(losses))}
    metrics |= {name: float(value) for name, value in found.items()}
    audio: dict[str, np.ndarray] = {}
    spectrograms: dict[str, np.ndarray] = {}
    if task.prompts.count:
        mels, waves = listen(task, params, state["frozen"], task.prompts.listened, key)
        for i in range(task.prompts.count):
            spectrograms[f"prompt/{i}"] = to_host(mels[i])
            if waves is not None:
                audio[f"prompt/{i}"] = to_host(waves[i, : task.samples])
    return Evaluation(metrics, audio, spectrograms)


@partial(jax.jit, static_argnums=(0, 1))
def mean_loss(
    task: Diffusion,
    loss: Callable[..., Any],
    params: Params,
    state: State,
    batch: Batch,
    key: Key,
) -> Array:
    """The loss at uniform times, so that runs compare however theirs were drawn."""
    uniform = make_timestep_sampler("uniform", len(batch["index"]))
    address = step_key(key, "timestep", EVALUATION_STEP)
    share, weight = uniform.draw({}, address, batch["index"])
    timed = batch | {"share": share, "weight": weight}
    at = {"step": jnp.int32(EVALUATION_STEP), "frozen": whole(state["frozen"])}
    return loss(task, whole(params), state | at, timed, key)[0]


@partial(jax.jit, static_argnums=0)
def likelihood(
    task: Diffusion, params: Params, frozen: Params, batch: Batch, key: Key
) -> Metrics:
    """Of latents under their captions, in bits per dimension, mean of a batch."""
    params, frozen = whole((params, frozen))
    system, measure = task.system, task.likelihood
    address = step_key(key, "posterior", EVALUATION_STEP)
    x0 = system.latents(frozen, batch, example_keys(address, batch["index"]))
    said, learned = system.objective.prediction, system.objective.learned_variance
    condition = system.condition(params, frozen, batch["prompt"])

    def output(z: Array, t: Array) -> Array:
        return system.predict(params, z, t, condition)

    def prediction(z: Array, t: Array) -> Array:
        return split_variance(output(z, t))[0] if learned else output(z, t)

    def bits(nats: Array) -> Array:
        return bits_per_dim(nats, x0).mean()

    found: Metrics = {}
    if measure.bound:
        assert isinstance(system.process, Schedule)
        variance = "learned_range" if learned else "beta_tilde"
        bound = variational_bound(
            output, system.process, x0, key, prediction=said, variance=variance
        )
        found["bound_bits"] = bits(bound.total)
    if measure.ode_steps:
        ode = ode_likelihood(
            prediction,
            system.process,
            x0,
            key,
            prediction=said,
            steps=measure.ode_steps,
            probes=measure.probes,
        )
        found["ode_bits"] = bits(-ode.log_density)
        found["ode_bits_error"] = bits(ode.trace_error + ode.step_error)
    return found


@partial(jax.jit, static_argnums=0)
def listen(
    task: Diffusion, params: Params, frozen: Params, prompt: Any, key: Key
) -> tuple[Array, Array | None]:
    """Log-mels [B, T, F] of prompts, and waveforms [B, N] where there is a vocoder."""
    params, frozen = whole((params, frozen))
    system = task.system
    index = jnp.arange(task.prompts.count)
    keys = example_keys(purpose_key(key, "listen"), index)
    z = example_noise(keys, system.latent_shape(task.samples))
    z = system.sample(
        params,
        frozen,
        task.sampling,
        z,
        prompt,
        task.prompts.null,
        jnp.float32(task.sampling.guidance),
        purpose_key(key, "solver"),
        index,
    )
    mel = system.decode(frozen, z)
    return mel, system.vocode(frozen, mel) if system.vocoder is not None else None
