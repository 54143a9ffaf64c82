"""Training the attribute classifier of clips: one softmax head an attribute.

It learns from real clips only, so augmentation stands in for what a VAE, a
diffusion model and a vocoder do to a sound (blur, noise, small shifts), and leaves
alone what an attribute may rest on: level, pitch and shape in time.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params, State
from diffusion_audio.audio.mel import log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.source import Clip
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.errors import unknown
from diffusion_audio.rows import whole
from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.settings import settings
from diffusion_audio.systems.classifier import (
    Classifier,
    Labels,
    build,
    check_labels,
    encode_labels,
    read_labels,
    write_labels,
)
from diffusion_audio.training import ema
from diffusion_audio.training.parallel import mean_over_devices, to_host
from diffusion_audio.training.task import Data, Task
from diffusion_audio.training.update import UpdateRule, accumulated, update_rule


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How far augmentation goes; 0 switches a part off.

    Attributes:
        shift: largest shift in time either way, seconds.
        gain: largest change of level either way, dB.
        noise: largest standard deviation of added white noise.
        blur: largest weight of a spectrogram smoothed over 3 x 3 points.
        jitter: largest standard deviation of noise on the spectrogram, in the range of
            networks.
    """

    shift: float = 0.02
    gain: float = 1.5
    noise: float = 0.004
    blur: float = 1.0
    jitter: float = 0.4


@dataclasses.dataclass(frozen=True, eq=False)
class Classification:
    """What does not change while a run trains. Made by `configure`.

    Attributes:
        classifier: what is trained.
        augment: how far training clips are changed.
        rule: how gradients change it.
    """

    classifier: Classifier
    augment: AugmentConfig
    rule: UpdateRule


def configure(config: Mapping[str, Any]) -> Classification:
    """The settings of a config; ``config.data.labels`` names the attributes."""
    augment = settings(AugmentConfig, config, "augment")
    return Classification(build(config), augment, update_rule(config))


def init(
    task: Classification, key: Key, batch: Batch, frozen: Params | None = None
) -> State:
    """The state before the first update."""
    del batch, frozen
    return task.rule.start({"classifier": task.classifier.network.init(key)})


def step(
    task: Classification, state: State, batch: Batch, key: Key
) -> tuple[State, Metrics]:
    """One update; see `training.task.Task`."""
    gradient = accumulated(jax.grad(partial(loss, task), has_aux=True), task.rule.parts)
    grads, metrics = mean_over_devices(gradient(state["params"], state, batch, key))
    return task.rule.update(state, grads), metrics | {
        "grad_norm": optax.tree.norm(grads)
    }


def loss(
    task: Classification, params: Params, state: State, batch: Batch, key: Key
) -> tuple[Array, Metrics]:
    """The sum of the attributes' cross-entropies on augmented clips.

    Batches hold ``audio`` [B, N] and ``labels`` int32 [B, A].
    """
    network = task.classifier.network
    mel = drawn(task, state, batch, key)["mel"]
    return cross_entropies(network.apply(params["classifier"], mel), batch["labels"])


def drawn(
    task: Classification, state: State, batch: Batch, key: Key
) -> dict[str, Array]:
    """What a step sees of its clips, augmented; see `training.task.Task`."""
    keys = example_keys(step_key(key, "augmentation", state["step"]), batch["index"])
    spec = task.classifier.spec
    return {"mel": augmented_mel(task.augment, spec, batch["audio"], keys)}


@partial(jax.jit, static_argnums=0)
def classify(task: Classification, params: Params, audio: Array) -> Array:
    """The most probable classes [B, A] of waveforms [B, N]."""
    logits = task.classifier.logits(whole(params["classifier"]), audio)
    return jnp.stack([jnp.argmax(score, axis=1) for score in logits], axis=1)


def evaluate(
    task: Classification, state: State, batches: Iterator[Batch], key: Key
) -> Evaluation:
    """The share of clips whose attributes are right, each and all."""
    del key
    params = ema.best(state["ema"], state["params"])
    right = [
        to_host(classify(task, params, batch["audio"]) == batch["labels"])
        for batch in islice(batches, 8)
    ]
    table = np.concatenate(right)  # [n, A]
    names = task.classifier.names
    metrics = {f"accuracy/{n}": float(table[:, i].mean()) for i, n in enumerate(names)}
    metrics["accuracy/all"] = float(table.all(axis=1).mean())
    return Evaluation(metrics, {}, {})


def make(task: Classification, data: Data) -> Task:
    """The task of some settings and data.

    Raises:
        UserError: the clips do not have an attribute, or another number of values of
            it than the classifier has classes.
    """
    labels = _labels(task.classifier, data)

    def inputs(clips: Sequence[Clip]) -> dict[str, Any]:
        return {"labels": encode_labels([clip["attributes"] for clip in clips], labels)}

    return Task(
        partial(init, task),
        partial(step, task),
        partial(evaluate, task),
        inputs=inputs,
        extras=write_labels(labels),
        uses=("labels",),
        drawn=partial(drawn, task),
    )


def _labels(classifier: Classifier, data: Data) -> Labels:
    """The classes of the run that goes on, else those of the data."""
    if data.kept is not None:
        return read_labels(classifier, data.kept)
    known = data.train.attributes
    for name in classifier.names:
        if name not in known:
            raise unknown(f"attribute of {data.train.name}", name, known)
    labels = {name: tuple(known[name]) for name in classifier.names}
    check_labels(classifier, labels, data.train.name)
    return labels


def augmented_mel(
    cfg: AugmentConfig, spec: AudioSpec, audio: Array, keys: Key
) -> Array:
    """Log-mels [B, T, F] of clips [B, N], each changed by the draws of its key."""

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


def cross_entropies(logits: tuple[Array, ...], labels: Array) -> tuple[Array, Metrics]:
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
    said = jnp.stack([jnp.argmax(score, axis=1) for score in logits], axis=1)
    total = jnp.mean(sum(losses, jnp.zeros(len(labels))))
    right = jnp.all((said == labels) | ~known, axis=1).astype(jnp.float32)
    return total, {"loss": total, "accuracy/all": jnp.mean(right)}
