import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.classifier import get_config
from diffusion_audio.audio.mel import log_mel, normalize
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.data.tones import ATTRIBUTES, plan, synthesize
from diffusion_audio.errors import UserError
from diffusion_audio.systems.classifier import build
from diffusion_audio.training.tasks.classifier import (
    AugmentConfig,
    augmented_mel,
    cross_entropies,
)
from tests.tasks import Clips, make_task

SPEC = PRESETS["tones_16k"]
KEY = jax.random.key(1)
TONES = Clips(attributes=ATTRIBUTES)
OFF = AugmentConfig(shift=0.0, gain=0.0, noise=0.0, blur=0.0, jitter=0.0)


def small_config():
    config = get_config("tones").to_dict()
    config["classifier"] |= {"channels": (4, 8), "embedding": 32, "groups": 2}
    config["train"]["steps"] = 20
    config["optimizer"]["warmup_steps"] = 0
    return config


def clips(split, number):
    """Some clips of a split, spread over it."""
    chosen = plan(split)
    chosen = chosen[:: len(chosen) // number][:number]
    return {
        "audio": np.stack([synthesize(c.attributes, c.seed) for c in chosen]),
        "labels": np.array(
            [
                [ATTRIBUTES[n].index(c.attributes[n]) for n in ATTRIBUTES]
                for c in chosen
            ],
            np.int32,
        ),
        "index": np.arange(number, dtype=np.int32),
    }


def test_the_config_knows_the_attributes_of_tones():
    config = get_config("tones")
    assert config.data.labels == tuple(ATTRIBUTES)
    classes = tuple(len(values) for values in ATTRIBUTES.values())
    assert config.classifier.classes == classes
    assert get_config("tones,smoke").train.steps == 20


def test_augmentation_switched_off_is_the_plain_spectrogram():
    audio = jnp.asarray(clips("train", 3)["audio"])
    keys = jax.random.split(KEY, 3)
    np.testing.assert_allclose(
        augmented_mel(OFF, SPEC, audio, keys),
        normalize(SPEC, log_mel(SPEC, audio)),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "change",
    [{"shift": 0.02}, {"gain": 1.5}, {"noise": 0.01}, {"blur": 1.0}, {"jitter": 0.1}],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_the_augmentation_changes_each_clip_its_own_way(change):
    audio = jnp.tile(clips("train", 1)["audio"], (3, 1))
    cfg = AugmentConfig(**(vars(OFF) | change))
    plain = normalize(SPEC, log_mel(SPEC, audio))
    keys = jax.random.split(KEY, 3)
    mel = augmented_mel(cfg, SPEC, audio, keys)
    assert float(jnp.abs(mel - plain).max()) > 0.01
    assert float(jnp.abs(mel[0] - mel[1]).max()) > 0.01
    np.testing.assert_allclose(
        mel[1:], augmented_mel(cfg, SPEC, audio[1:], keys[1:]), atol=1e-5
    )


def test_augmentation_leaves_loudness_alone():
    """Soft and loud are 14 dB apart; the level may move by 1.5."""
    cfg = AugmentConfig(**(vars(OFF) | {"gain": 1.5}))
    audio = jnp.tile(clips("train", 1)["audio"], (16, 1))
    plain = log_mel(SPEC, audio).max(axis=(1, 2))
    keys = jax.random.split(KEY, 16)
    low, high = SPEC.value_low, SPEC.value_high
    mel = (augmented_mel(cfg, SPEC, audio, keys) + 1) / 2 * (high - low) + low
    moved = 20 / np.log(10) * (mel.max(axis=(1, 2)) - plain)
    assert 1.0 < float(jnp.abs(moved).max()) < 1.6


def test_a_shift_brings_in_silence_not_the_other_end():
    cfg = AugmentConfig(**(vars(OFF) | {"shift": 0.25}))
    audio = jnp.sin(jnp.arange(16384.0)) * jnp.repeat(jnp.array([0.0, 1.0]), 8192)
    mel = augmented_mel(cfg, SPEC, jnp.tile(audio, (3, 1)), jax.random.split(KEY, 3))
    floor = normalize(SPEC, jnp.log(jnp.float32(SPEC.floor)))
    np.testing.assert_allclose(mel[:, :12], floor, rtol=1e-5)


@pytest.fixture(scope="module")
def trained():
    """A task, 16 clips, the state after 20 steps on them, the metrics."""
    task = make_task(small_config(), TONES)
    batch = clips("train", 16)
    state = jax.jit(task.init)(KEY, batch)
    step = jax.jit(task.step)
    history = []
    for _ in range(20):
        state, metrics = step(state, batch, KEY)
        history.append({name: float(value) for name, value in metrics.items()})
    return task, batch, state, history


def test_the_step_learns(trained):
    _, _, state, history = trained
    chance = sum(np.log(len(values)) for values in ATTRIBUTES.values())
    assert history[0]["loss"] == pytest.approx(chance, rel=0.3)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert int(state["step"]) == 20


def test_the_evaluation_counts_what_the_ears_hear(trained):
    task, batch, state, _ = trained
    shown = task.evaluate(state, iter([batch, batch]), KEY).metrics
    assert list(shown) == [f"accuracy/{name}" for name in [*ATTRIBUTES, "all"]]
    ears = build(small_config())
    logits = ears.logits(state["ema"]["classifier"], batch["audio"])
    assert [score.shape for score in logits] == [(16, k) for k in (6, 8, 4, 3, 2)]
    right = np.stack([np.argmax(score, axis=1) for score in logits], axis=1)
    right = right == batch["labels"]
    expected = [*right.mean(axis=0), right.all(axis=1).mean()]
    assert list(shown.values()) == pytest.approx(expected)


def test_a_clip_without_an_attribute_teaches_nothing_of_it():
    scores = (jnp.asarray([[0.0, 3.0], [5.0, -5.0]]), jnp.asarray([[1.0, 0.0]] * 2))
    one, _ = cross_entropies(scores, jnp.asarray([[1, 0], [-1, 0]]))
    other = (scores[0].at[1].set(jnp.asarray([-9.0, 9.0])), scores[1])
    same, metrics = cross_entropies(other, jnp.asarray([[1, 0], [-1, 0]]))
    assert float(one) == float(same)
    assert float(metrics["accuracy/all"]) == 1.0


def test_labels_and_classes_must_agree():
    config = small_config()
    config["data"] = config["data"] | {"labels": ("pitch",)}
    with pytest.raises(UserError, match=r"5 numbers for the 1 attributes .*\(pitch\)"):
        make_task(config, TONES)


@pytest.mark.slow
def test_it_learns_to_hear_the_tones():
    """On combinations it never saw, above 97 % for every attribute."""
    task = make_task(get_config("tones").to_dict(), TONES)
    train = clips("train", 3024)
    step = jax.jit(task.step)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(3024), (5, 1)), axis=1)
    state = jax.jit(task.init)(KEY, train)
    for chosen in order.reshape(-1)[: 300 * 48].reshape(300, 48):
        batch = {name: values[chosen] for name, values in train.items()}
        batch["index"] = np.arange(48, dtype=np.int32)
        state, _ = step(state, batch, KEY)
    held_out = clips("held_out", 288)
    shown = task.evaluate(state, iter([held_out]), KEY).metrics
    assert min(shown[f"accuracy/{name}"] for name in ATTRIBUTES) > 0.97
