"""Training a vocoder: generator and discriminators in one compiled step.

The generator runs once a step: the discriminators are updated with its output, and the
gradient of their losses after that update goes back through that same run.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.nn.conv1d import refresh_spectral
from diffusion_audio.nn.functional import Network
from diffusion_audio.rows import whole
from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.settings import settings
from diffusion_audio.systems import autoencoders, vocoders
from diffusion_audio.systems.autoencoders import Autoencoder
from diffusion_audio.systems.table import build
from diffusion_audio.systems.vocoders import Vocoder
from diffusion_audio.training import ema
from diffusion_audio.training.gan_losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.parallel import mean_over_devices, to_host
from diffusion_audio.training.task import Data, Task, new_state
from diffusion_audio.training.update import UpdateRule, apply_gradients, update_rule
from diffusion_audio.training.vocoder_checks import (
    adopted,
    check,
    check_input_mels,
    check_start,
    load_start,
)
from diffusion_audio.training.vocoder_loss import VocoderLossConfig, weighted


@dataclasses.dataclass(frozen=True, eq=False)
class Vocoding:
    """What does not change while a run trains. Made by `configure`.

    Attributes:
        config: resolved.
        spec: the mel contract.
        vocoder: the generator.
        discriminators: waveforms [B, N] -> scores and feature maps.
        weights: of the generator's losses.
        distances: those of them that compare waveforms, by name.
        rule: how gradients change both.
        autoencoder: whose reconstructions are the generator's mels, or None.
    """

    config: Mapping[str, Any]
    spec: AudioSpec
    vocoder: Vocoder
    discriminators: Network
    weights: VocoderLossConfig
    distances: Mapping[str, Callable[[Array, Array], Array]]
    rule: UpdateRule
    autoencoder: Autoencoder | None


class DiscriminatorUpdate(NamedTuple):
    """An update of the discriminators, and the gradient of their losses at a fake.

    Attributes:
        params: of the discriminators.
        opt: their optimiser's state.
        fake_gradient: of the adversarial and feature losses with respect to the fake
            [B, N].
        metrics: of both.
    """

    params: Params
    opt: Any
    fake_gradient: Array
    metrics: Metrics


def configure(config: Mapping[str, Any]) -> Vocoding:
    """The settings of a resolved config.

    Its groups: audio, data, vocoder, discriminators, loss, optimizer, ema, train; and
    components, where generator and discriminators start from a trained ``vocoder``, or
    its mels are those that a trained ``autoencoder`` reconstructs. Where a batch has a
    ``mel`` [B, T, F] that is its input, in training and in evaluations; losses and
    errors compare with the recording all the same.

    Raises:
        UserError: mel bands, rates or segments do not fit the AudioSpec.
    """
    spec = AudioSpec.from_config(config["audio"])
    vocoder = build(vocoders.TABLE, config.get("vocoder"), "config.vocoder")
    weights = settings(VocoderLossConfig, config, "loss")
    seconds = config["data"]["seconds"]
    check(spec, vocoder, settings(TrainConfig, config, "train"), seconds)
    check_input_mels(config)
    if weights.uses_discriminators and not config["discriminators"]:
        raise UserError(
            "there are no discriminators, so config.loss.features and adversarial must "
            "be 0; or give config.discriminators.mpd, msd or mrd"
        )
    parts = config.get("components", {})
    autoencoder = None
    if "autoencoder" in parts:
        group = parts["autoencoder"]["autoencoder"]
        autoencoder = build(autoencoders.TABLE, group, "config.autoencoder")
        autoencoder.check(spec, seconds)
    if "vocoder" in parts:
        check_start(config["vocoder"], parts["vocoder"]["vocoder"])
    return Vocoding(
        config=config,
        spec=spec,
        vocoder=vocoder,
        discriminators=build_discriminators(config["discriminators"]),
        weights=weights,
        distances=weights.distances(spec),
        rule=update_rule(config),
        autoencoder=autoencoder,
    )


def init(task: Vocoding, key: Key, batch: Batch, frozen: Params | None = None) -> State:
    """The state before the first update, from trained parts where there are any."""
    del batch
    frozen = frozen or {}
    keys = jax.random.split(key, 3)
    params = {
        "vocoder": task.vocoder.network.init(keys[0]),
        "discriminators": task.discriminators.init(keys[1]),
    }
    if "vocoder" in frozen:
        params["vocoder"] = task.vocoder.to_training(
            frozen["vocoder"], params["vocoder"]
        )
        params["discriminators"] = adopted(
            frozen.get("discriminators", {}), params["discriminators"]
        )
    kept = {}
    if task.autoencoder is not None:
        fresh = task.autoencoder.network.init
        kept["autoencoder"] = frozen.get("autoencoder") or fresh(keys[2])
    opt = {name: task.rule.optimizer.init(part) for name, part in params.items()}
    average = ema.start(task.rule.average, {"vocoder": params["vocoder"]})
    return new_state(params, opt, average, kept)


def input_mels(task: Vocoding, frozen: Params, batch: Batch) -> Array:
    """The log-mels [B, T, F] that the generator is given."""
    if "mel" in batch:  # saved, as another model predicted them
        return batch["mel"]
    mel = log_mel(task.spec, batch["audio"])
    if task.autoencoder is None:
        return mel
    apply, params = task.autoencoder.network.apply, frozen["autoencoder"]
    moments = apply(params, normalize(task.spec, mel)[..., None], method="encode")
    rebuilt = apply(params, moments.mean, method="decode")
    return denormalize(task.spec, rebuilt[..., 0])


def step(task: Vocoding, state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
    """One update of both; see `training.task.Task`."""
    del key
    wave, params, opt = batch["audio"], state["params"], state["opt"]
    mel = input_mels(task, state["frozen"], batch)
    fake, vjp = jax.vjp(
        lambda params: task.vocoder.network.apply(params, mel), params["vocoder"]
    )
    update = discriminator_update(task, state, wave, fake)
    fake_gradient, metrics = update.fake_gradient, update.metrics
    for name, distance in task.distances.items():
        metrics[name], own = jax.value_and_grad(distance, argnums=1)(wave, fake)
        fake_gradient = fake_gradient + getattr(task.weights, name) * own
    (grads,) = vjp(fake_gradient)
    metrics["loss"] = weighted(task.weights, metrics)
    grads, metrics = mean_over_devices((grads, metrics))
    metrics["grad_norm"] = optax.tree.norm(grads)
    trained, trained_opt = apply_gradients(
        task.rule.optimizer, grads, opt["vocoder"], params["vocoder"]
    )
    average = ema.update(
        task.rule.average, state["ema"], {"vocoder": trained}, state["step"]
    )
    return state | {
        "step": state["step"] + 1,
        "params": {"vocoder": trained, "discriminators": update.params},
        "opt": {"vocoder": trained_opt, "discriminators": update.opt},
        "ema": average,
    }, metrics


def discriminator_update(
    task: Vocoding, state: State, wave: Array, fake: Array
) -> DiscriminatorUpdate:
    """The discriminators' update, once they have started; before that, none."""
    params = state["params"]["discriminators"]
    opt = state["opt"]["discriminators"]
    if not task.weights.uses_discriminators:
        return DiscriminatorUpdate(params, opt, jnp.zeros_like(fake), {})
    update = partial(update_discriminators, task)
    if not task.weights.discriminator_start:
        return update(params, opt, wave, fake)

    def not_yet(
        params: Params, opt: Any, wave: Array, fake: Array
    ) -> DiscriminatorUpdate:
        shapes = jax.eval_shape(update, params, opt, wave, fake).metrics
        nothing = {name: jnp.zeros(()) for name in shapes}
        return DiscriminatorUpdate(params, opt, jnp.zeros_like(fake), nothing)

    started = state["step"] >= task.weights.discriminator_start
    return jax.lax.cond(started, update, not_yet, params, opt, wave, fake)


def update_discriminators(
    task: Vocoding, params: Params, opt: Any, wave: Array, fake: Array
) -> DiscriminatorUpdate:
    """Updates the discriminators; then the gradient of their losses at the fake."""
    params, apply = refresh_spectral(params), task.discriminators.apply

    def loss(params: Params) -> Array:
        # Real and fake side by side, so that one run sees both and every
        # device keeps its own examples.
        pairs = jnp.stack([wave, fake], axis=1).reshape(-1, wave.shape[1])
        both = apply(params, pairs)
        real, fakes = (
            jax.tree.map(lambda x, i=i: x.reshape(-1, 2, *x.shape[1:])[:, i], both)
            for i in (0, 1)
        )
        return discriminator_loss(real, fakes)

    value, grads = mean_over_devices(jax.value_and_grad(loss)(params))
    params, opt = apply_gradients(task.rule.optimizer, grads, opt, params)

    updated = whole(params)

    def generator_loss(fake: Array) -> tuple[Array, Metrics]:
        outputs = apply(updated, fake)
        terms = {}
        if task.weights.adversarial:
            terms["adversarial"] = adversarial_loss(outputs)
        if task.weights.features:
            terms["features"] = feature_loss(apply(updated, wave), outputs)
        return weighted(task.weights, terms), terms

    fake_gradient, metrics = jax.grad(generator_loss, has_aux=True)(fake)
    metrics |= {"discriminator": value, "grad_norm_d": optax.tree.norm(grads)}
    return DiscriminatorUpdate(params, opt, fake_gradient, metrics)


@partial(jax.jit, static_argnums=0)
def vocode(
    task: Vocoding, params: Params, frozen: Params, batch: Batch
) -> tuple[Array, Array, Array]:
    """Waveforms [B, N], and the log-mels of recordings and of these."""
    params, frozen = whole((params, frozen))
    fake = task.vocoder.network.apply(
        params["vocoder"], input_mels(task, frozen, batch)
    )
    return fake, log_mel(task.spec, batch["audio"]), log_mel(task.spec, fake)


def evaluate(
    task: Vocoding, state: State, batches: Iterator[Batch], key: Key
) -> Evaluation:
    """The mean absolute error of log-mels; some clips and spectrograms."""
    del key
    params = ema.best(state["ema"], state["params"])
    errors: list[float] = []
    audio: dict[str, np.ndarray] = {}
    spectrograms: dict[str, np.ndarray] = {}
    for batch in islice(batches, 4):
        fake, mel, fake_mel = vocode(task, params, state["frozen"], batch)
        errors.append(float(jnp.mean(jnp.abs(mel - fake_mel))))
        if not audio:
            for i in range(min(4, len(mel))):
                audio[f"real/{i}"] = to_host(batch["audio"][i])
                audio[f"vocoded/{i}"] = to_host(fake[i])
                pair = np.concatenate([to_host(mel[i]), to_host(fake_mel[i])])
                spectrograms[f"real_and_vocoded/{i}"] = pair
    return Evaluation({"mel_l1": float(np.mean(errors))}, audio, spectrograms)


def make(task: Vocoding, data: Data) -> Task:
    """The task of some settings."""
    del data
    return Task(
        partial(init, task),
        partial(step, task),
        partial(evaluate, task),
        components=partial(load_start, task.config),
        uses=("mels", "mel_axes"),
    )
