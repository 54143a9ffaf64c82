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
from diffusion_audio.diffusion.loss import epsilon_loss
from diffusion_audio.diffusion.noise import (
    example_keys,
    example_noise,
    example_timesteps,
)
from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import Moments
from diffusion_audio.training import ema
from diffusion_audio.training.descent import descend
from diffusion_audio.training.latent_diffusion import SamplingConfig, build
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.randomness import purpose_key, step_key
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import Evaluation, State, Task, new_state

EVALUATION_STEP = 2**31 - 1  # address of the noise of every evaluation


@dataclasses.dataclass(frozen=True)
class DiffusionLossConfig:
    """Settings of the diffusion loss.

    Attributes:
        condition_dropout: chance that an example is trained without its caption,
            which is what classifier-free guidance compares with.
    """

    condition_dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.condition_dropout < 1:
            raise UserError(
                "config.loss.condition_dropout must lie in [0, 1), not "
                f"{self.condition_dropout}"
            )


@dataclasses.dataclass(frozen=True)
class ListenConfig:
    """What an evaluation lets one hear: always the same prompts and noise."""

    prompts: tuple[str, ...] = ()


def make(config: Mapping[str, Any], tokenizer: Tokenizer) -> Task:
    """The latent diffusion task of a resolved config.

    Groups: audio, tokenizer, text, unet, schedule, loss, sampling, listen,
    optimizer, ema, train, and components with the configs of the VAE's run and,
    where there is one, the vocoder's.

    Batches hold ``tokens`` int32 [B, L] and either ``audio`` [B, N] or ``moments``
    [B, H, W, 2C] from a latent cache.
    """
    model = build(config)
    cfg = settings(DiffusionLossConfig, config, "loss")
    sampling = settings(SamplingConfig, config, "sampling")
    listen = settings(ListenConfig, config, "listen")
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
        return new_state(
            params, optimizer.init(params), ema.start(average, params), frozen
        )

    def loss(
        params: Params, frozen: Params, batch: Batch, key: Key, step: Array | int
    ) -> tuple[Array, Metrics]:
        def keys(purpose: str) -> Key:
            return example_keys(step_key(key, purpose, step), batch["index"])

        moments = posterior(frozen, batch)
        shape = moments.mean.shape[1:]
        x0 = model.scale(frozen, moments, example_noise(keys("posterior"), shape))
        t = example_timesteps(keys("timestep"), model.schedule.steps)
        eps = example_noise(keys("noise"), shape)
        dropped = jax.vmap(lambda k: jax.random.bernoulli(k, cfg.condition_dropout))(
            keys("dropout")
        )
        tokens = jnp.where(dropped[:, None], empty[None], batch["tokens"])
        return epsilon_loss(model.predict, params, model.schedule, x0, t, eps, tokens)

    @jax.jit
    def evaluation_loss(params: Params, frozen: Params, batch: Batch, key: Key) -> Any:
        return loss(params, frozen, batch, key, EVALUATION_STEP)[0]

    @jax.jit
    def draw(params: Params, frozen: Params, tokens: Array, key: Key) -> Any:
        index = jnp.arange(len(tokens))
        keys = example_keys(purpose_key(key, "listen"), index)
        z = example_noise(keys, model.latent_shape(samples))
        guidance = jnp.float32(sampling.guidance)
        z = model.sample(
            params, sampling, z, tokens, empty, guidance, purpose_key(key, "solver")
        )
        mel = model.decode(frozen, z)
        wave = model.vocode(frozen, mel) if model.vocoder is not None else None
        return mel, wave

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        params = ema.best(state["ema"], state["params"])
        losses = [
            float(evaluation_loss(params, state["frozen"], batch, key))
            for batch in islice(batches, 8)
        ]
        audio: dict[str, np.ndarray] = {}
        pictures: dict[str, np.ndarray] = {}
        if listen.prompts:
            tokens = tokenizer.encode(list(listen.prompts))
            mels, waves = draw(params, state["frozen"], tokens, key)
            for i in range(len(listen.prompts)):
                pictures[f"prompt/{i}"] = np.asarray(mels[i])
                if waves is not None:
                    audio[f"prompt/{i}"] = np.asarray(waves[i, :samples])
        return Evaluation({"loss": float(np.mean(losses))}, audio, pictures)

    step = descend(loss, optimizer, average, train.accumulate)
    return Task(init, step, evaluate)
