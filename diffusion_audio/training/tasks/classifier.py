"""Training the classifier that judges clips: one softmax head an attribute.

It learns from real clips only, so augmentation stands in for what a VAE, a
diffusion model and a vocoder do to a sound (blur, noise, small shifts), and leaves
alone what an attribute may rest on: level, pitch and shape in time.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.audio.mel import log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.errors import UserError
from diffusion_audio.models.classifier import ClassifierConfig, build_classifier
from diffusion_audio.nn.functional import Network
from diffusion_audio.training import ema
from diffusion_audio.training.descent import descend
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.randomness import step_key
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import Evaluation, State, Task, new_state


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How far augmentation goes; 0 switches a part off.

    Attributes:
        shift: largest shift in time either way, seconds.
        gain: largest change of level either way, dB.
        noise: largest standard deviation of added white noise.
        blur: largest weight of a picture smoothed over 3 x 3 points.
        jitter: largest standard deviation of noise on the picture, in the range of
            networks.
    """

    shift: float = 0.02
    gain: float = 1.5
    noise: float = 0.004
    blur: float = 1.0
    jitter: float = 0.4


def make(config: Mapping[str, Any], tokenizer: object = None) -> Task:
    """The task of a config; ``config.data.labels`` names the attributes.

    Batches hold ``audio`` [B, N] and ``labels`` int32 [B, A]. The loss is the sum
    of the attributes' cross-entropies.
    """
    del tokenizer
    spec, network = parts(config)
    names = tuple(config["data"]["labels"])
    cfg = settings(AugmentConfig, config, "augment")
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
        keys = example_keys(step_key(key, "augmentation", step), batch["index"])
        mel = augmented_mel(cfg, spec, batch["audio"], keys)
        return _loss(network.apply(params, mel), batch["labels"])

    hear = classifier(config)

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        del key
        params = ema.best(state["ema"], state["params"])
        right = []
        for batch in islice(batches, 8):
            logits = hear(params, batch["audio"])
            heard = np.stack([np.argmax(score, axis=1) for score in logits], axis=1)
            right.append(heard == batch["labels"])
        table = np.concatenate(right)  # [n, A]
        metrics = {
            f"accuracy/{n}": float(table[:, i].mean()) for i, n in enumerate(names)
        }
        metrics["accuracy/all"] = float(table.all(axis=1).mean())
        return Evaluation(metrics, {}, {})

    step = descend(loss, optimizer, average, train.accumulate)
    return Task(init, step, evaluate)


def parts(config: Mapping[str, Any]) -> tuple[AudioSpec, Network]:
    """The mel pictures that a configured classifier sees, and its network.

    Raises:
        UserError: ``config.data.labels`` and ``config.classifier.classes`` do not
            name the same number of attributes.
    """
    cfg = settings(ClassifierConfig, config, "classifier")
    names = tuple(config["data"]["labels"])
    if len(names) != len(cfg.classes):
        raise UserError(
            f"config.classifier.classes has {len(cfg.classes)} numbers for the "
            f"{len(names)} attributes of config.data.labels ({', '.join(names)}); "
            "give one number of classes an attribute"
        )
    return AudioSpec.from_config(config["audio"]), build_classifier(cfg)


def classifier(
    config: Mapping[str, Any],
) -> Callable[[Params, Array], tuple[Array, ...]]:
    """A trained classifier's ears: ``hear(params, audio [B, N]) -> logits [B, K]``.

    One array of logits an attribute, in the order of ``config.data.labels``.
    """
    spec, network = parts(config)

    @jax.jit
    def hear(params: Params, audio: Array) -> tuple[Array, ...]:
        return network.apply(params, normalize(spec, log_mel(spec, audio)))

    return hear


def embedder(config: Mapping[str, Any]) -> Callable[[Params, Array], Array]:
    """What a trained classifier hears: ``embed(params, audio [B, N]) -> [B, D]``."""
    spec, network = parts(config)

    @jax.jit
    def embed(params: Params, audio: Array) -> Array:
        mel = normalize(spec, log_mel(spec, audio))
        return network.apply(params, mel, method="embed")

    return embed


def augmented_mel(
    cfg: AugmentConfig, spec: AudioSpec, audio: Array, keys: Key
) -> Array:
    """Pictures [B, T, F] of clips [B, N], each changed by the draws of its key."""

    def uniform(purpose: int, low: float, high: float) -> Array:
        own = jax.vmap(lambda key: jax.random.fold_in(key, purpose))(keys)
        return jax.vmap(
            lambda key: jax.random.uniform(key, (), jnp.float32, low, high)
        )(own)

    def normal(purpose: int, shape: tuple[int, ...]) -> Array:
        own = jax.vmap(lambda key: jax.random.fold_in(key, purpose))(keys)
        return example_noise(own, shape)

    # Zeros move in, not the other end of the clip: a swell must not begin loud.
    most = round(cfg.shift * spec.sample_rate)
    start = jnp.round(uniform(0, 0.0, 2.0 * most)).astype(jnp.int32)
    audio = jax.vmap(
        lambda wave, at: jax.lax.dynamic_slice(jnp.pad(wave, most), (at,), wave.shape)
    )(audio, start)
    gain = 10.0 ** (uniform(1, -cfg.gain, cfg.gain) / 20)
    level = uniform(2, 0.0, cfg.noise)
    audio = audio * gain[:, None] + level[:, None] * normal(3, audio.shape[1:])
    mel = normalize(spec, log_mel(spec, audio))
    weight = uniform(4, 0.0, cfg.blur)[:, None, None]
    mel = mel + weight * (_smooth(_smooth(mel, 1), 2) - mel)
    return mel + uniform(5, 0.0, cfg.jitter)[:, None, None] * normal(6, mel.shape[1:])


def _smooth(mel: Array, axis: int) -> Array:
    """Weights 1/4, 1/2, 1/4 along one axis of [B, T, F]; the ends are repeated."""
    size = mel.shape[axis]
    places = jnp.arange(size)
    before = jnp.take(mel, jnp.maximum(places - 1, 0), axis=axis)
    after = jnp.take(mel, jnp.minimum(places + 1, size - 1), axis=axis)
    return 0.25 * before + 0.5 * mel + 0.25 * after


def _loss(logits: tuple[Array, ...], labels: Array) -> tuple[Array, Metrics]:
    """Mean over clips of the summed cross-entropies, and the share all right.

    A label of -1, an attribute that the clip lacks, teaches nothing and is right.
    """
    known = labels >= 0
    losses = [
        jnp.where(
            known[:, i],
            optax.softmax_cross_entropy_with_integer_labels(
                score, jnp.maximum(labels[:, i], 0)
            ),
            0.0,
        )
        for i, score in enumerate(logits)
    ]
    heard = jnp.stack([jnp.argmax(score, axis=1) for score in logits], axis=1)
    total = jnp.mean(sum(losses, jnp.zeros(len(labels))))
    right = jnp.all((heard == labels) | ~known, axis=1).astype(jnp.float32)
    return total, {"loss": total, "accuracy/all": jnp.mean(right)}
