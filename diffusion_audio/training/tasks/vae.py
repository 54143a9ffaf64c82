"""Training a KL-VAE on mel pictures: reconstruction and a weighted KL.

Without the perceptual and adversarial terms of AudioLDM's own recipe.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.errors import unknown
from diffusion_audio.models.vae import VAEConfig, build_vae, kl, sample_moments
from diffusion_audio.training import ema
from diffusion_audio.training.descent import descend
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.randomness import step_key
from diffusion_audio.training.segments import check_latents
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import Evaluation, State, Task, new_state

DISTANCES = ("l1", "l2")


@dataclasses.dataclass(frozen=True)
class VAELossConfig:
    """Weights of the VAE loss, in the units of `make`.

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


def make(config: Mapping[str, Any], tokenizer: object = None) -> Task:
    """The VAE task of a config.

    Groups: audio, data, vae, loss, optimizer, ema, train. The loss is the sum over a
    picture's elements of their distance plus ``kl_weight`` times the KL summed over the
    latent, both divided by the number of elements of the picture.

    Raises:
        UserError: segments do not fit the VAE.
    """
    del tokenizer
    spec = AudioSpec.from_config(config["audio"])
    vae_cfg = settings(VAEConfig, config, "vae")
    check_latents(spec, vae_cfg, config["data"]["seconds"])
    network = build_vae(vae_cfg)
    cfg = settings(VAELossConfig, config, "loss")
    train = settings(TrainConfig, config, "train")
    average = settings(ema.EMAConfig, config, "ema")
    optimizer = make_optimizer(
        settings(OptimizerConfig, config, "optimizer"), train.steps
    )

    def init(key: Key, batch: Batch, frozen: Params | None = None) -> State:
        del batch, frozen
        params = network.init(key)
        return new_state(params, optimizer.init(params), ema.start(average, params))

    def loss(
        params: Params, frozen: Params, batch: Batch, key: Key, step: Array
    ) -> tuple[Array, Metrics]:
        del frozen
        mel = normalize(spec, log_mel(spec, batch["audio"]))[..., None]  # [B, T, F, 1]
        moments = network.apply(params, mel, method="encode")
        keys = example_keys(step_key(key, "posterior", step), batch["index"])
        noise = example_noise(keys, moments.mean.shape[1:])
        rebuilt = network.apply(params, sample_moments(moments, noise), method="decode")
        error = rebuilt - mel
        distance = jnp.abs(error) if cfg.distance == "l1" else jnp.square(error)
        reconstruction = jnp.mean(distance)
        divergence = jnp.mean(kl(moments)) / mel[0].size
        total = reconstruction + cfg.kl_weight * divergence
        return total, {
            "loss": total,
            "reconstruction": reconstruction,
            "kl": divergence,
            "latent_std": jnp.std(moments.mean),
        }

    @jax.jit
    def rebuild(params: Params, audio: Array) -> tuple[Array, Array]:
        mel = log_mel(spec, audio)
        moments = network.apply(
            params, normalize(spec, mel)[..., None], method="encode"
        )
        rebuilt = network.apply(params, moments.mean, method="decode")[..., 0]
        return mel, denormalize(spec, rebuilt)

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        del key
        params = ema.best(state["ema"], state["params"])
        errors: list[float] = []
        pictures: dict[str, np.ndarray] = {}
        for batch in islice(batches, 4):
            mel, rebuilt = rebuild(params, batch["audio"])
            errors.append(float(jnp.mean(jnp.abs(mel - rebuilt))))
            if not pictures:
                for i in range(min(4, len(mel))):
                    pair = np.concatenate([mel[i], rebuilt[i]], axis=0)
                    pictures[f"real_and_rebuilt/{i}"] = pair
        return Evaluation({"mel_l1": float(np.mean(errors))}, {}, pictures)

    step = descend(loss, optimizer, average, train.accumulate)
    return Task(init, step, evaluate)
