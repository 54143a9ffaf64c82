"""Training latent diffusion: conditioners and denoiser on latents of a frozen VAE.

Rombach et al. 2022 with the per-example condition dropout of Ho & Salimans 2022. What
is trained another way (consistency, mean flow) is a loss of the form of `loss`, handed
to `make`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.diffusion.loss import averaged, example_losses
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.diffusion.timestep_samplers import Memory
from diffusion_audio.training.diffusion_evaluation import evaluate
from diffusion_audio.training.diffusion_settings import Diffusion
from diffusion_audio.training.diffusion_settings import configure as configure
from diffusion_audio.training.parallel import mean_over_devices
from diffusion_audio.training.prompts import load_or_create
from diffusion_audio.training.task import Data, Task
from diffusion_audio.training.update import accumulated

Loss = Callable[
    [Diffusion, Params, State, Batch, Key], tuple[Array, tuple[Metrics, Memory]]
]


def init(
    task: Diffusion, key: Key, batch: Batch, frozen: Params | None = None
) -> State:
    """The state before the first update.

    A denoiser and conditioners to start from are taken from ``frozen`` where they are
    trained. The latents' scale is measured on a batch, but where that is known, as the
    scale which a denoiser to start from was trained with.
    """
    params, given = task.system.init(key), dict(frozen or {})
    params["denoiser"] = given.pop("denoiser", params["denoiser"])
    conditioners = given.get("conditioners", {})
    for label in task.system.conditioning.trained:
        own = params["conditioners"][label]
        params["conditioners"][label] = conditioners.get(label, own)
    frozen = task.system.init_frozen(key) | given
    if labels := task.system.conditioning.frozen:
        every = frozen["conditioners"]
        frozen["conditioners"] = {label: every[label] for label in labels}
    else:
        frozen.pop("conditioners", None)
    if "latent_scale" not in given:
        moments = task.system.posterior(frozen, batch)
        variance = jnp.var(moments.mean) + jnp.mean(jnp.exp(moments.log_variance))
        frozen["latent_scale"] = jax.lax.rsqrt(variance)
    return task.rule.start(params, frozen) | {"times": task.timestep_sampler.init()}


def step(
    task: Diffusion,
    loss: Loss,
    state: State,
    batch: Batch,
    key: Key,
) -> tuple[State, Metrics]:
    """One update; see `training.task.Task`."""
    # Before a batch is cut into parts: draws may depend on all of it.
    batch = with_times(task, state, batch, key)
    gradient = accumulated(jax.grad(partial(loss, task), has_aux=True), task.rule.parts)
    grads, (metrics, seen) = mean_over_devices(
        gradient(state["params"], state, batch, key)
    )
    after = task.rule.update(state, grads)
    after["times"] = task.timestep_sampler.update(state["times"], seen)
    return after, metrics | {"grad_norm": optax.tree.norm(grads)}


def with_times(task: Diffusion, state: State, batch: Batch, key: Key) -> Batch:
    """A batch with the time of each example; see `loss`."""
    address = step_key(key, "timestep", state["step"])
    share, weight = task.timestep_sampler.draw(state["times"], address, batch["index"])
    return batch | {"share": share, "weight": weight}


def loss(
    task: Diffusion, params: Params, state: State, batch: Batch, key: Key
) -> tuple[Array, tuple[Metrics, Memory]]:
    """The mean loss of a batch.

    Args:
        task: the settings.
        params: what is differentiated.
        state: all else that a loss may need: ``step``, ``frozen``, ``ema``.
        batch: ``prompt``, arrays [B, ...]; ``audio`` [B, N], or ``moments``
            [B, H, W, 2C] from a cache; ``index`` [B]; and the time of each example as
            ``share`` of the way to noise [B], with its ``weight`` [B].
        key: the run's root key.

    Returns:
        The loss, with its metrics and what the sampler of times makes of it.
    """
    system, frozen = task.system, state["frozen"]
    x0, eps, dropped = draws(task, state, batch, key)
    prompt = without_some(task, batch["prompt"], dropped)
    losses = example_losses(
        system.predict,
        params,
        system.process,
        x0,
        system.process.time(batch["share"]),
        eps,
        system.condition(params, frozen, prompt),
        system.objective,
    )
    mean, metrics = averaged(losses, batch["share"], batch["weight"])
    return mean, (metrics, task.timestep_sampler.observe(batch["share"], losses))


def draws(
    task: Diffusion, state: State, batch: Batch, key: Key
) -> tuple[Array, Array, Array]:
    """What a step draws for each example, but for its time.

    Returns:
        Latents and noise [B, H, W, C]; whether it is trained without its prompt [B].
    """

    def keys(purpose: str) -> Key:
        return example_keys(step_key(key, purpose, state["step"]), batch["index"])

    x0 = task.system.latents(state["frozen"], batch, keys("posterior"))
    eps = example_noise(keys("noise"), x0.shape[1:])
    return x0, eps, without_prompt(task, keys("dropout"))


def drawn(task: Diffusion, state: State, batch: Batch, key: Key) -> dict[str, Array]:
    """All that a step draws, by name; see `training.task.Task`."""
    batch = with_times(task, state, batch, key)
    x0, eps, dropped = draws(task, state, batch, key)
    return {
        "time": task.system.process.time(batch["share"]),
        "share": batch["share"],
        "weight": batch["weight"],
        "without_prompt": dropped,
        "latents": x0,
        "noise": eps,
    }


def without_prompt(task: Diffusion, keys: Key) -> Array:
    """Which examples, by their keys [B], are trained without their prompt, bool [B]."""
    return jax.vmap(lambda k: jax.random.bernoulli(k, task.condition_dropout))(keys)


def without_some(task: Diffusion, prompt: Any, dropped: Array) -> Any:
    """Prompts [B, ...], of which those that are dropped [B] are no prompt."""

    def one(given: Array, none: Array) -> Array:
        rows = dropped.reshape(-1, *(1,) * (given.ndim - 1))
        return jnp.where(rows, none, given)

    return jax.tree.map(one, prompt, task.prompts.null)


def encode(task: Diffusion, frozen: Params, audio: Array) -> Array:
    """What a cache of latents keeps of waveforms [B, N]: moments [B, H, W, 2C]."""
    return jnp.concatenate(task.system.encode(frozen, audio), axis=-1)


def make(task: Diffusion, data: Data, loss: Loss = loss) -> Task:
    """The task of some settings and data, with the loss of this file or another.

    Raises:
        UserError: there are no captions to learn from, or one cannot be read; or the
            conditioners tell the denoiser what it does not take.
    """
    prompts = load_or_create(task.system.conditioning, task.listen, data)
    task.system.require_told(prompts.null)
    task = dataclasses.replace(task, prompts=prompts)
    return Task(
        init=partial(init, task),
        step=partial(step, task, loss),
        evaluate=partial(evaluate, task, loss),
        inputs=prompts.inputs,
        extras=prompts.files,
        encode=partial(encode, task),
        uses=("cache_latents",),
        drawn=partial(drawn, task),
    )
