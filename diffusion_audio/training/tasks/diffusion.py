"""Training latent diffusion: text encoder and UNet on the latents of a frozen VAE.

Rombach et al. 2022 with the per-example condition dropout of Ho & Salimans 2022.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.data.tokenizer import Tokenizer
from diffusion_audio.diffusion.likelihood import (
    bits_per_dim,
    ode_likelihood,
    variational_bound,
)
from diffusion_audio.diffusion.loss import averaged, example_losses
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.diffusion.times import make_times
from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import Moments
from diffusion_audio.training import ema
from diffusion_audio.training.descent import descend
from diffusion_audio.training.latent_diffusion import build
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.objective import DiffusionLossConfig, LikelihoodConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.randomness import purpose_key, step_key
from diffusion_audio.training.sampler import SamplingConfig
from diffusion_audio.training.segments import check_latents
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import Evaluation, Mean, State, Task, new_state

EVALUATION_STEP = 2**31 - 1  # address of the noise of every evaluation


@dataclasses.dataclass(frozen=True)
class ListenConfig:
    """What an evaluation lets one hear: always the same prompts and noise.

    Attributes:
        prompts: captions to make sounds of.
        captions: how many of the evaluation split's, where there are no prompts.
    """

    prompts: tuple[str, ...] = ()
    captions: int = 0


def make(config: Mapping[str, Any], tokenizer: Tokenizer) -> Task:
    """The latent diffusion task of a resolved config.

    Groups: audio, tokenizer, text, unet, schedule, loss, sampling, listen,
    optimizer, ema, train, and components with the configs of the VAE's run and,
    where there is one, the vocoder's; likelihood where it is to be measured.

    Batches hold ``tokens`` int32 [B, L] and either ``audio`` [B, N] or ``moments``
    [B, H, W, 2C] from a latent cache. The state holds, besides what every task has,
    ``times``: what the sampler of times has learned of the losses.
    """
    model = build(config)
    check_latents(model.spec, model.vae_config, config["data"]["seconds"])
    cfg = settings(DiffusionLossConfig, config, "loss")
    batch_size = config["data"]["batch_size"]
    times = cfg.time_sampler(batch_size)
    uniform = make_times("uniform", batch_size)
    sampling = settings(SamplingConfig, config, "sampling")
    model.sampler(sampling)  # says now what an evaluation would say hours later
    listen = settings(ListenConfig, config, "listen")
    measure = settings(LikelihoodConfig, {"likelihood": {}, **config}, "likelihood")
    if measure.bound and not isinstance(model.process, Schedule):
        raise UserError(
            "config.likelihood.bound is of the steps of a chain; rectified_flow has "
            "none: set config.likelihood.ode_steps instead"
        )
    train = settings(TrainConfig, config, "train")
    average = settings(ema.EMAConfig, config, "ema")
    optimizer = make_optimizer(
        settings(OptimizerConfig, config, "optimizer"), train.steps
    )
    empty = tokenizer.encode([""])[0]  # int32 [L]
    samples = round(config["data"]["seconds"] * model.spec.sample_rate)

    def posterior(frozen: Params, batch: Batch) -> Moments:
        if "moments" in batch:
            return Moments(*jnp.split(batch["moments"], 2, axis=-1))
        return model.encode(frozen, batch["audio"])

    def latents(frozen: Params, batch: Batch, keys: Key) -> Array:
        """Latents of unit scale [B, H, W, C], drawn with a key for each example."""
        moments = posterior(frozen, batch)
        noise = example_noise(keys, moments.mean.shape[1:])
        return model.scale(frozen, moments, noise)

    def init(key: Key, batch: Batch, frozen: Params | None = None) -> State:
        parts = {"text": model.text, "unet": model.unet}
        params = {
            name: part.init(purpose_key(key, f"init {name}"))
            for name, part in parts.items()
        }
        if frozen is None:
            frozen = {name: part.init(key) for name, part in model.components.items()}
        moments = posterior(frozen, batch)
        variance = jnp.var(moments.mean) + jnp.mean(jnp.exp(moments.log_variance))
        frozen = frozen | {"latent_scale": jax.lax.rsqrt(variance)}
        state = new_state(
            params, optimizer.init(params), ema.start(average, params), frozen
        )
        return state | {"times": times.init()}

    def timed(batch: Batch, draw: Any, memory: Any, key: Key, step: Any) -> Batch:
        """The batch with the time of each example and its weight."""
        address = step_key(key, "timestep", step)
        share, weight = draw(memory, address, batch["index"])
        return batch | {"share": share, "weight": weight}

    def loss(
        params: Params, frozen: Params, batch: Batch, key: Key, step: Array | int
    ) -> tuple[Array, Metrics]:
        def keys(purpose: str) -> Key:
            return example_keys(step_key(key, purpose, step), batch["index"])

        x0 = latents(frozen, batch, keys("posterior"))
        eps = example_noise(keys("noise"), x0.shape[1:])
        dropped = jax.vmap(lambda k: jax.random.bernoulli(k, cfg.condition_dropout))(
            keys("dropout")
        )
        tokens = jnp.where(dropped[:, None], empty[None], batch["tokens"])
        share = batch["share"]
        losses = example_losses(
            model.predict,
            params,
            model.process,
            x0,
            model.process.time(share),
            eps,
            tokens,
            model.objective,
        )
        mean, metrics = averaged(losses, share, batch["weight"])
        seen: Any = {"times": times.observe(share, losses)}
        return mean, metrics | seen

    @jax.jit
    def evaluation_loss(params: Params, frozen: Params, batch: Batch, key: Key) -> Any:
        # Uniform times, so that runs compare however theirs were drawn.
        batch = timed(batch, uniform.draw, {}, key, EVALUATION_STEP)
        return loss(params, frozen, batch, key, EVALUATION_STEP)[0]

    @jax.jit
    def likelihood(params: Params, frozen: Params, batch: Batch, key: Key) -> Metrics:
        """Of latents under their captions, in bits per dimension, mean of a batch."""
        address = step_key(key, "posterior", EVALUATION_STEP)
        x0 = latents(frozen, batch, example_keys(address, batch["index"]))
        said, learned = model.objective.prediction, model.objective.learned_variance

        def output(z: Array, t: Array) -> Array:
            return model.predict(params, z, t, batch["tokens"])

        def prediction(z: Array, t: Array) -> Array:
            return split_variance(output(z, t))[0] if learned else output(z, t)

        def bits(nats: Array) -> Array:
            return bits_per_dim(nats, x0).mean()

        found: Metrics = {}
        if measure.bound:
            assert isinstance(model.process, Schedule)
            variance = "learned_range" if learned else "beta_tilde"
            bound = variational_bound(
                output, model.process, x0, key, prediction=said, variance=variance
            )
            found["bound_bits"] = bits(bound.total)
        if measure.ode_steps:
            ode = ode_likelihood(
                prediction,
                model.process,
                x0,
                key,
                prediction=said,
                steps=measure.ode_steps,
                probes=measure.probes,
            )
            found["ode_bits"] = bits(-ode.log_density)
            found["ode_bits_error"] = bits(ode.trace_error + ode.step_error)
        return found

    @jax.jit
    def draw(params: Params, frozen: Params, tokens: Array, key: Key) -> Any:
        index = jnp.arange(len(tokens))
        keys = example_keys(purpose_key(key, "listen"), index)
        z = example_noise(keys, model.latent_shape(samples))
        guidance = jnp.float32(sampling.guidance)
        noise = purpose_key(key, "solver")
        z = model.sample(params, sampling, z, tokens, empty, guidance, noise, index)
        mel = model.decode(frozen, z)
        wave = model.vocode(frozen, mel) if model.vocoder is not None else None
        return mel, wave

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        params = ema.best(state["ema"], state["params"])
        losses: list[float] = []
        found: Metrics = {}
        for batch in islice(batches, 8):
            if not losses:
                found = likelihood(params, state["frozen"], batch, key)
            losses.append(float(evaluation_loss(params, state["frozen"], batch, key)))
        metrics = {"loss": float(np.mean(losses))}
        metrics |= {name: float(value) for name, value in found.items()}
        audio: dict[str, np.ndarray] = {}
        pictures: dict[str, np.ndarray] = {}
        if listen.prompts:
            tokens = tokenizer.encode(list(listen.prompts))
            mels, waves = draw(params, state["frozen"], tokens, key)
            for i in range(len(listen.prompts)):
                pictures[f"prompt/{i}"] = np.asarray(mels[i])
                if waves is not None:
                    audio[f"prompt/{i}"] = np.asarray(waves[i, :samples])
        return Evaluation(metrics, audio, pictures)

    update = descend(loss, optimizer, average, train.accumulate)

    def step(state: State, batch: Batch, key: Key, mean: Mean) -> tuple[State, Metrics]:
        batch = timed(batch, times.draw, state["times"], key, state["step"])
        after, metrics = update(state, batch, key, mean)
        seen: Any = metrics.pop("times")
        return after | {"times": times.update(state["times"], seen)}, metrics

    return Task(init, step, evaluate)
