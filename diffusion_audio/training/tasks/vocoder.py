"""Training a HiFi-GAN vocoder: generator and discriminators in one compiled step.

The generator runs once a step: the discriminators learn from its output, then judge
it anew, and the gradient they give goes back through that same run.
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

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.nn.conv1d import refresh_spectral
from diffusion_audio.training import ema
from diffusion_audio.training.gan_losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    full_band,
    mel_loss,
    soft_mel_loss,
)
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import (
    Evaluation,
    Mean,
    State,
    Task,
    apply_gradients,
    new_state,
)

MEL_DISTANCES = ("l1", "soft")


@dataclasses.dataclass(frozen=True)
class VocoderLossConfig:
    """The generator's losses and their weights.

    Attributes:
        mel_distance: ``l1``, the paper's, of full-band mels down to its floor; or
            ``soft``, `soft_mel_loss` with the floor of the generator's input.
        mel: weight of the mel distance.
        features: of feature matching.
        adversarial: of the LSGAN term.
        discriminator_start: updates before it train the generator on the mel loss
            alone, and the discriminators not at all.
    """

    mel_distance: str = "l1"
    mel: float = 45.0
    features: float = 2.0
    adversarial: float = 1.0
    discriminator_start: int = 0

    def __post_init__(self) -> None:
        if self.mel_distance not in MEL_DISTANCES:
            raise unknown("mel distance", self.mel_distance, MEL_DISTANCES)


def make(config: Mapping[str, Any], tokenizer: object = None) -> Task:
    """The vocoder task of a config.

    Its groups: audio, data, generator, discriminators, loss, optimizer, ema, train.

    Raises:
        UserError: mel bands, rates or segments do not fit the AudioSpec.
    """
    del tokenizer
    spec = AudioSpec.from_config(config["audio"])
    generator_cfg = settings(HiFiGANConfig, config, "generator")
    generator = build_hifigan(generator_cfg)
    discriminators = build_discriminators(config["discriminators"])
    weights = settings(VocoderLossConfig, config, "loss")
    mel_distance = (
        partial(mel_loss, full_band(spec))
        if weights.mel_distance == "l1"
        else partial(soft_mel_loss, spec)
    )
    train = settings(TrainConfig, config, "train")
    average = settings(ema.EMAConfig, config, "ema")
    optimizer = make_optimizer(
        settings(OptimizerConfig, config, "optimizer"), train.steps
    )
    _check(spec, generator_cfg, train, config["data"]["seconds"])

    def init(key: Key, batch: Batch, frozen: Params | None = None) -> State:
        del batch, frozen
        keys = jax.random.split(key)
        params = {
            "generator": generator.init(keys[0]),
            "discriminators": discriminators.init(keys[1]),
        }
        opt = {name: optimizer.init(part) for name, part in params.items()}
        return new_state(
            params, opt, ema.start(average, {"generator": params["generator"]})
        )

    def contest(
        judges: Params, opt: Any, wave: Array, fake: Array, mean: Mean
    ) -> tuple[Params, Any, Array, Metrics]:
        """Updates the discriminators on a fake, and asks them what is wrong with it.

        Returns:
            Their parameters and optimiser state, the gradient of the adversarial and
            feature losses with respect to the fake, and metrics.
        """
        judges = refresh_spectral(judges)

        def deception(judges: Params) -> Array:
            # Real and fake side by side, so that one run hears both and every
            # device keeps its own examples.
            pairs = jnp.stack([wave, fake], axis=1).reshape(-1, wave.shape[1])
            both = discriminators.apply(judges, pairs)
            real_judged, fake_judged = (
                jax.tree.map(lambda x, i=i: x.reshape(-1, 2, *x.shape[1:])[:, i], both)
                for i in (0, 1)
            )
            return discriminator_loss(real_judged, fake_judged)

        loss, grads = jax.value_and_grad(deception)(judges)
        loss, grads = mean((loss, grads))
        judges, opt = apply_gradients(optimizer, grads, opt, judges)
        real_judged = discriminators.apply(judges, wave)

        def shortfall(fake: Array) -> tuple[Array, Metrics]:
            fake_judged = discriminators.apply(judges, fake)
            metrics = {
                "adversarial": adversarial_loss(fake_judged),
                "features": feature_loss(real_judged, fake_judged),
            }
            return (
                weights.adversarial * metrics["adversarial"]
                + weights.features * metrics["features"]
            ), metrics

        towards_real, metrics = jax.grad(shortfall, has_aux=True)(fake)
        metrics |= {"discriminator": loss, "grad_norm_d": optax.tree.norm(grads)}
        return judges, opt, towards_real, metrics

    def no_contest(
        judges: Params, opt: Any, wave: Array, fake: Array
    ) -> tuple[Params, Any, Array, Metrics]:
        names = ("adversarial", "features", "discriminator", "grad_norm_d")
        nothing = {name: jnp.zeros(()) for name in names}
        return judges, opt, jnp.zeros_like(fake), nothing

    def step(state: State, batch: Batch, key: Key, mean: Mean) -> tuple[State, Metrics]:
        del key
        wave, params, opt = batch["audio"], state["params"], state["opt"]
        picture = log_mel(spec, wave)
        fake, pull = jax.vjp(
            lambda params: generator.apply(params, picture), params["generator"]
        )
        mel, towards_mel = jax.value_and_grad(lambda fake: mel_distance(wave, fake))(
            fake
        )
        heard = (params["discriminators"], opt["discriminators"], wave, fake)
        judged = partial(contest, mean=mean)
        if weights.discriminator_start:
            judges, judges_opt, towards_real, metrics = jax.lax.cond(
                state["step"] >= weights.discriminator_start, judged, no_contest, *heard
            )
        else:
            judges, judges_opt, towards_real, metrics = judged(*heard)
        (grads,) = pull(weights.mel * towards_mel + towards_real)
        metrics["mel"] = mel
        metrics["loss"] = (
            weights.mel * mel
            + weights.features * metrics["features"]
            + weights.adversarial * metrics["adversarial"]
        )
        grads, metrics = mean((grads, metrics))
        metrics["grad_norm"] = optax.tree.norm(grads)
        trained, trained_opt = apply_gradients(
            optimizer, grads, opt["generator"], params["generator"]
        )
        params = {"generator": trained, "discriminators": judges}
        new = {
            "step": state["step"] + 1,
            "params": params,
            "opt": {"generator": trained_opt, "discriminators": judges_opt},
            "ema": ema.update(
                average, state["ema"], {"generator": trained}, state["step"]
            ),
        }
        return state | new, metrics

    @jax.jit
    def vocode(params: Params, wave: Array) -> tuple[Array, Array, Array]:
        mel = log_mel(spec, wave)
        fake = generator.apply(params, mel)
        return fake, mel, log_mel(spec, fake)

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        del key
        params = ema.best(state["ema"], state["params"])["generator"]
        errors: list[float] = []
        audio: dict[str, np.ndarray] = {}
        pictures: dict[str, np.ndarray] = {}
        for batch in islice(batches, 4):
            fake, mel, fake_mel = vocode(params, batch["audio"])
            errors.append(float(jnp.mean(jnp.abs(mel - fake_mel))))
            if not audio:
                for i in range(min(4, len(mel))):
                    audio[f"real/{i}"] = np.asarray(batch["audio"][i])
                    audio[f"vocoded/{i}"] = np.asarray(fake[i])
                    pair = np.concatenate([mel[i], fake_mel[i]], axis=0)
                    pictures[f"real_and_vocoded/{i}"] = pair
        return Evaluation({"mel_l1": float(np.mean(errors))}, audio, pictures)

    return Task(init, step, evaluate)


def _check(
    spec: AudioSpec, cfg: HiFiGANConfig, train: TrainConfig, seconds: float
) -> None:
    """Refuses settings that contradict each other."""
    if cfg.n_mels != spec.n_mels:
        raise UserError(
            f"config.generator.n_mels is {cfg.n_mels}, but the audio spec has "
            f"{spec.n_mels} mel bands"
        )
    if cfg.hop_length != spec.hop_length:
        raise UserError(
            f"config.generator.rates {cfg.rates} multiply to {cfg.hop_length}, but "
            f"the audio spec's hop_length is {spec.hop_length}"
        )
    if spec.framing != "hifigan":
        raise UserError(
            f"a vocoder needs one mel frame for each hop: framing 'hifigan', not "
            f"{spec.framing!r}"
        )
    samples = round(seconds * spec.sample_rate)
    if samples % spec.hop_length:
        near = round(samples / spec.hop_length) * spec.hop_length
        raise UserError(
            f"config.data.seconds is a segment of {samples} samples, not a multiple of "
            f"hop_length {spec.hop_length}; set it to {near / spec.sample_rate:.8g}"
        )
    if train.accumulate > 1:
        raise UserError(
            f"the vocoder task takes a batch in one part: config.train.accumulate must "
            f"be 1, not {train.accumulate}"
        )
