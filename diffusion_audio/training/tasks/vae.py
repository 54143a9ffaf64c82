"""Training an autoencoder of mel spectrograms: reconstruction and a weighted KL.

Without the perceptual and adversarial terms of AudioLDM's own recipe.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.vae import kl, sample_moments
from diffusion_audio.nn.functional import Network
from diffusion_audio.rows import whole
from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.settings import settings
from diffusion_audio.systems import autoencoders
from diffusion_audio.systems.table import build
from diffusion_audio.training import ema
from diffusion_audio.training.parallel import mean_over_devices, to_host
from diffusion_audio.training.task import Data, Task
from diffusion_audio.training.update import UpdateRule, accumulated, update_rule

DISTANCES = ("l1", "l2")


@dataclasses.dataclass(frozen=True)
class VAELossConfig:
    """Weights of the VAE loss, in the units of `loss`.

    Attributes:
        distance: of the reconstruction, ``l1`` or ``l2``.
        kl_weight: of the KL in nats. AudioLDM's 1000 on the *mean* over an
            8x256x16 latent is 0.0305 here.
    """

    distance: str = "l1"
    kl_weight: float = 0.0305

    def __post_init__(self) -> None:
        if self.distance not in DISTANCES:
            raise unknown("reconstruction distance", self.distance, DISTANCES)


@dataclasses.dataclass(frozen=True, eq=False)
class VAE:
    """What does not change while a run trains. Made by `configure`.

    Attributes:
        spec: the mel contract.
        network: of the autoencoder.
        weights: of the loss.
        rule: how gradients change it.
    """

    spec: AudioSpec
    network: Network
    weights: VAELossConfig
    rule: UpdateRule


def configure(config: Mapping[str, Any]) -> VAE:
    """The settings of a config: groups audio, data, autoencoder, loss, optimizer, ema.

    Raises:
        UserError: segments do not fit the autoencoder, or it has nothing to train.
    """
    spec = AudioSpec.from_config(config["audio"])
    part = build(autoencoders.TABLE, config.get("autoencoder"), "config.autoencoder")
    if not part.trained:
        raise UserError(
            f"config.autoencoder is {config['autoencoder']['name']!r}, which has "
            "nothing to train; name another"
        )
    part.check(spec, config["data"]["seconds"])
    weights = settings(VAELossConfig, config, "loss")
    return VAE(spec, part.network, weights, update_rule(config))


def init(task: VAE, key: Key, batch: Batch, frozen: Params | None = None) -> State:
    """The state before the first update."""
    del batch, frozen
    return task.rule.start({"autoencoder": task.network.init(key)})


def step(task: VAE, state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
    """One update; see `training.task.Task`."""
    gradient = accumulated(jax.grad(partial(loss, task), has_aux=True), task.rule.parts)
    grads, metrics = mean_over_devices(gradient(state["params"], state, batch, key))
    return task.rule.update(state, grads), metrics | {
        "grad_norm": optax.tree.norm(grads)
    }


def loss(
    task: VAE, params: Params, state: State, batch: Batch, key: Key
) -> tuple[Array, Metrics]:
    """The reconstruction's distance plus the weighted KL, a mean over examples.

    The distance summed over a spectrogram's elements plus ``kl_weight`` times the KL
    summed over the latent, both divided by the spectrogram's number of elements.
    """
    apply, params = task.network.apply, params["autoencoder"]
    mel = normalize(task.spec, log_mel(task.spec, batch["audio"]))[..., None]
    moments = apply(params, mel, method="encode")  # of [B, T, F, 1]
    noise = posterior_noise(state, batch, key, moments.mean.shape[1:])
    rebuilt = apply(params, sample_moments(moments, noise), method="decode")
    error = rebuilt - mel
    l1 = task.weights.distance == "l1"
    reconstruction = jnp.mean(jnp.abs(error) if l1 else jnp.square(error))
    divergence = jnp.mean(kl(moments)) / mel[0].size
    total = reconstruction + task.weights.kl_weight * divergence
    return total, {
        "loss": total,
        "reconstruction": reconstruction,
        "kl": divergence,
        "latent_std": jnp.std(moments.mean),
    }


def posterior_noise(
    state: State, batch: Batch, key: Key, shape: tuple[int, ...]
) -> Array:
    """Noise [B, *shape] of the latents that a step draws."""
    keys = example_keys(step_key(key, "posterior", state["step"]), batch["index"])
    return example_noise(keys, shape)


def drawn(task: VAE, state: State, batch: Batch, key: Key) -> dict[str, Array]:
    """All that a step draws, by name; see `training.task.Task`."""
    mel = normalize(task.spec, log_mel(task.spec, batch["audio"]))[..., None]
    moments = task.network.apply(state["params"]["autoencoder"], mel, method="encode")
    shape = moments.mean.shape[1:]
    return {"mel": mel, "noise": posterior_noise(state, batch, key, shape)}


@partial(jax.jit, static_argnums=0)
def rebuild(task: VAE, params: Params, audio: Array) -> tuple[Array, Array]:
    """Log-mels [B, T, F] of waveforms, and what the autoencoder makes of them."""
    apply, params = task.network.apply, whole(params["autoencoder"])
    mel = log_mel(task.spec, audio)
    moments = apply(params, normalize(task.spec, mel)[..., None], method="encode")
    rebuilt = apply(params, moments.mean, method="decode")[..., 0]
    return mel, denormalize(task.spec, rebuilt)


def evaluate(task: VAE, state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
    """The mean absolute error of log-mels, and some spectrograms."""
    del key
    params = ema.best(state["ema"], state["params"])
    errors: list[float] = []
    spectrograms: dict[str, np.ndarray] = {}
    for batch in islice(batches, 4):
        mel, rebuilt = rebuild(task, params, batch["audio"])
        errors.append(float(jnp.mean(jnp.abs(mel - rebuilt))))
        if not spectrograms:
            for i in range(min(4, len(mel))):
                pair = np.concatenate([to_host(mel[i]), to_host(rebuilt[i])])
                spectrograms[f"real_and_rebuilt/{i}"] = pair
    return Evaluation({"mel_l1": float(np.mean(errors))}, {}, spectrograms)


def make(task: VAE, data: Data) -> Task:
    """The task of some settings."""
    del data
    return Task(
        partial(init, task),
        partial(step, task),
        partial(evaluate, task),
        drawn=partial(drawn, task),
    )
