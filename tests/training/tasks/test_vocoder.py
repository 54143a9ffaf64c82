"""The GAN step against one written out naively, and what must not change in it."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import denormalize, full_band, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.conv1d import refresh_spectral, remove_weight_norm
from diffusion_audio.pretrained.folder import generator_config
from diffusion_audio.training import gan_losses, parallel, vocoder_loss
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.tasks import vocoder
from diffusion_audio.training.update import apply_gradients
from tests.networks import random_params
from tests.tasks import make_task

CONFIG = {
    "audio": {
        "sample_rate": 1000,
        "n_fft": 32,
        "win_length": 32,
        "hop_length": 8,
        "n_mels": 6,
        "fmax": 300.0,
    },
    "data": {"seconds": 0.128},
    "task": "vocoder",
    "vocoder": {
        "name": "hifigan",
        "n_mels": 6,
        "channels": 8,
        "rates": (4, 2),
        "kernels": (8, 4),
        "resblock": "2",
        "resblock_kernels": (3,),
        "dilations": ((1,),),
    },
    "discriminators": {
        "mpd": {"periods": (2,), "channels": (2, 4)},
        "msd": {
            "scales": 2,
            "channels": (4, 4),
            "kernels": (5, 5),
            "strides": (1, 2),
            "groups": (1, 2),
        },
    },
    "loss": {"discriminator_start": 1},
    "optimizer": {"learning_rate": 0.01, "b1": 0.8, "b2": 0.99, "weight_decay": 0.1},
    "ema": {"decay": 0.9, "warmup": False},
    "train": {"steps": 10},
}
SPEC = AudioSpec.from_config(CONFIG["audio"])
KEY = jax.random.key(0)
VAE = {"name": "vae", "channels": (8, 8), "latent": 2, "groups": 4, "blocks": 1}
WIDE = {"name": "hifigan", "n_mels": 6, "channels": 16}


def changed(**groups):
    config = copy.deepcopy(CONFIG)
    for group, values in groups.items():
        config[group] = config.get(group, {}) | values
    return config


def batch(step=0, examples=4):
    rng = np.random.default_rng(step)
    audio = rng.uniform(-0.5, 0.5, (examples, 128)).astype(np.float32)
    return {"audio": audio, "index": np.arange(examples, dtype=np.int32)}


@pytest.fixture(scope="module")
def states():
    """The states and metrics around the last step without and the first with D."""
    task = make_task(CONFIG)
    step = jax.jit(task.step)
    state = jax.jit(task.init)(KEY, batch())
    states, metrics = [state], []
    for i in range(2):
        state, values = step(state, batch(i), KEY)
        states.append(state)
        metrics.append(values)
    assert step._cache_size() == 1
    return states, metrics


def test_before_the_discriminators_start_only_the_mel_loss_trains(states):
    (before, after, _), (metrics, later) = states
    for part in ("params", "opt"):
        jax.tree.map(
            np.testing.assert_array_equal,
            before[part]["discriminators"],
            after[part]["discriminators"],
        )
    assert metrics["adversarial"] == metrics["features"] == 0
    np.testing.assert_allclose(metrics["loss"], 45 * metrics["mel"], rtol=1e-6)
    total = 45 * later["mel"] + 2 * later["features"] + later["adversarial"]
    np.testing.assert_allclose(later["loss"], total, rtol=1e-6)
    assert later["features"] > 0


def test_a_step_is_the_papers_two_updates(states):
    """D on a detached fake, then G through the updated D, each written naively."""
    (_, before, after), (_, metrics) = states
    wave = batch(1)["audio"]
    generator = build_hifigan(generator_config(CONFIG))
    discriminators = build_discriminators(CONFIG["discriminators"])
    optimizer = make_optimizer(OptimizerConfig(**CONFIG["optimizer"]), 10)

    @jax.jit
    def naive(params, opt):
        g, d = params["vocoder"], refresh_spectral(params["discriminators"])
        mel = log_mel(SPEC, wave)

        def d_loss(d):
            fake = generator.apply(g, mel)
            return gan_losses.discriminator_loss(
                discriminators.apply(d, wave), discriminators.apply(d, fake)
            )

        grads = jax.grad(d_loss)(d)
        d, _ = apply_gradients(optimizer, grads, opt["discriminators"], d)

        def g_loss(g):
            fake = generator.apply(g, mel)
            real_out = discriminators.apply(d, wave)
            fake_out = discriminators.apply(d, fake)
            full = AudioSpec.from_config(CONFIG["audio"] | {"fmax": None})
            return (
                gan_losses.adversarial_loss(fake_out)
                + 2 * gan_losses.feature_loss(real_out, fake_out)
                + 45 * jnp.mean(jnp.abs(log_mel(full, wave) - log_mel(full, fake)))
            )

        loss, grads = jax.value_and_grad(g_loss)(g)
        g, _ = apply_gradients(optimizer, grads, opt["vocoder"], g)
        return loss, {"vocoder": g, "discriminators": d}

    loss, expected = naive(before["params"], before["opt"])
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        after["params"],
        expected,
    )


def test_the_optimiser_leaves_u_and_v_to_the_power_iteration(states):
    (_, before, after), _ = states
    layer = before["params"]["discriminators"]["msd"]["parts"]["0"]["convs"]["1"]
    later = after["params"]["discriminators"]["msd"]["parts"]["0"]["convs"]["1"]
    refreshed = refresh_spectral(layer)
    for name in ("spectral_u", "spectral_v"):
        np.testing.assert_allclose(later[name], refreshed[name], rtol=1e-5, atol=1e-6)
        assert not np.allclose(later[name], layer[name], atol=1e-6)


def test_the_average_is_of_the_generator_alone(states):
    (_, before, after), _ = states
    assert set(after["ema"]) == {"vocoder"}
    jax.tree.map(
        lambda old, new, params: np.testing.assert_allclose(
            new, 0.9 * old + 0.1 * params, atol=1e-6
        ),
        before["ema"],
        after["ema"],
        {"vocoder": after["params"]["vocoder"]},
    )


def test_evaluation_measures_and_shows_the_averaged_generator(states):
    state = states[0][2]
    task = make_task(CONFIG)
    result = task.evaluate(state, iter([batch(5), batch(6, examples=2)]), KEY)
    generator = build_hifigan(generator_config(CONFIG))
    wave = batch(5)["audio"]
    mel = log_mel(SPEC, wave)
    fake = jax.jit(generator.apply)(state["ema"]["vocoder"], mel)
    np.testing.assert_allclose(result.audio["vocoded/3"], fake[3], atol=1e-5)
    assert result.spectrograms["real_and_vocoded/0"].shape == (32, 6)
    first = float(gan_losses.mel_loss(SPEC, wave, fake))
    only_first = task.evaluate(state, iter([batch(5)]), KEY)
    assert only_first.metrics["mel_l1"] == pytest.approx(first, rel=1e-5)
    assert result.metrics["mel_l1"] != only_first.metrics["mel_l1"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_four_devices_make_the_same_step(states, mode):
    (_, before, after), (_, metrics) = states
    task = make_task(CONFIG)
    mesh = parallel.make_mesh(parallel.ParallelConfig(mode=mode, data=4))
    step = parallel.compile_step(task.step, mesh, mode)
    state = jax.device_put(
        jax.device_get(before), parallel.state_shardings(before, mesh)
    )
    new, values = step(state, parallel.place_batch(batch(1), mesh), KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
        jax.device_get((new["params"], new["ema"], values)),
        jax.device_get((after["params"], after["ema"], metrics)),
    )


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            {"vocoder": {"n_mels": 7}},
            r"7 mel bands \(n_mels\), but the audio spec has 6",
        ),
        ({"audio": {"hop_length": 16}}, "makes 8 samples of .* hop_length is 16"),
        ({"audio": {"framing": "centre"}}, "framing 'hifigan', not 'centre'"),
        ({"data": {"seconds": 0.13}}, r"130 samples, not a multiple .* to 0\.128"),
        ({"train": {"accumulate": 2}}, "accumulate must be 1, not 2"),
        ({"discriminators": {"mdr": {}}}, "unknown discriminator 'mdr'; did you mean"),
        ({"vocoder": {"chanels": 8}}, "unknown key in config.vocoder 'chanels'"),
        ({"loss": {"mel_weight": 8}}, "unknown key in config.loss 'mel_weight'"),
        (
            {"loss": {"mel": 0, "features": 0, "adversarial": 0}},
            "every loss has weight",
        ),
        ({"loss": {"mel": 0}}, "nothing would be trained before .*start 1"),
        (
            {
                "components": {"autoencoder": {"autoencoder": VAE}},
                "data": {"seconds": 0.136},
            },
            "17 mel fr",
        ),
        (
            {"components": {"vocoder": {"vocoder": WIDE}}},
            "channels: 8 != 16",
        ),
        (
            {
                "components": {"autoencoder": {"autoencoder": VAE}},
                "data": {"mels": "predicted"},
            },
            r"saved mels \(config.data.mels\) or those that an autoencoder rebuilds",
        ),
        (
            {"data": {"mels": "predicted", "mel_axes": "fft"}},
            "unknown config.data.mel_axes 'fft'; did you mean 'ft'",
        ),
        ({"data": {"mel_axes": "tf"}}, "config.data.mels names no mels"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(groups, message):
    with pytest.raises(UserError, match=message):
        make_task(changed(**groups))


def test_without_discriminators_their_losses_must_be_off():
    with pytest.raises(UserError, match="there are no discriminators"):
        make_task(CONFIG | {"discriminators": {}})


@pytest.mark.parametrize(
    ("weights", "functions", "logged"),
    [
        ({"features": 0}, ["feature_loss"], {"adversarial", "discriminator", "mel"}),
        (
            {"adversarial": 0},
            ["adversarial_loss"],
            {"features", "discriminator", "mel"},
        ),
        (
            {"features": 0, "adversarial": 0},
            ["feature_loss", "adversarial_loss", "discriminator_loss"],
            {"mel"},
        ),
        ({"mel": 0}, ["mel_loss"], {"adversarial", "features", "discriminator"}),
    ],
)
def test_a_loss_of_weight_zero_is_not_computed(monkeypatch, weights, functions, logged):
    def never(*_):
        raise AssertionError("computed for nothing")

    for name in functions:
        module = vocoder if hasattr(vocoder, name) else vocoder_loss
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr(vocoder_loss, "multi_resolution_stft", never)
    task = make_task(changed(loss=weights | {"discriminator_start": 0}))
    state = jax.eval_shape(task.init, KEY, batch())
    _, metrics = jax.eval_shape(task.step, state, batch(), KEY)  # traced, not compiled
    assert metrics.keys() - {"loss", "grad_norm", "grad_norm_d"} == logged


OPTIONS = {
    "snake and mrd": {
        "vocoder": {"activation": "snakebeta", "antialias": True},
        "discriminators": {"mrd": {"windows": (64, 32), "channels": 2}},
    },
    "istft and multiscale": {
        "vocoder": {"rates": (2,), "kernels": (4,), "istft_n_fft": 16},
        "loss": {"mel_distance": "multiscale", "mel": 15.0, "discriminator_start": 0},
        "data": {"seconds": 1.2},
    },
    "stft alone": {
        "loss": {"mel": 0.0, "stft": 1.0, "features": 0.0, "adversarial": 0.0},
        "data": {"seconds": 1.2},
        "discriminators": {},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains(name):
    config = changed(loss={"discriminator_start": 0})
    for group, values in OPTIONS[name].items():
        config[group] |= values
    task = make_task(config)
    samples = round(1000 * config["data"]["seconds"])
    audio = {"audio": np.resize(batch()["audio"], (2, samples))}
    state = jax.jit(task.init)(KEY, audio)
    new, metrics = jax.jit(task.step)(state, audio, KEY)
    assert all(np.isfinite(value) for value in metrics.values())
    jax.tree.map(
        lambda a, b: np.testing.assert_array_less(0, np.abs(a - b).max()),
        state["params"]["vocoder"],
        new["params"]["vocoder"],
    )
    kinds = set(config["discriminators"])
    assert set(new["params"]["discriminators"]) == kinds


def test_a_start_without_weight_norm_is_the_same_generator(states):
    state = states[0][0]
    plain = remove_weight_norm(state["params"]["vocoder"])
    config = changed(components={"vocoder": {"vocoder": CONFIG["vocoder"]}})
    started = make_task(config).init(jax.random.key(7), batch(), {"vocoder": plain})
    generator = build_hifigan(generator_config(CONFIG))
    mel = log_mel(SPEC, batch()["audio"])
    np.testing.assert_allclose(
        generator.apply(started["params"]["vocoder"], mel),
        generator.apply(state["params"]["vocoder"], mel),
        atol=1e-6,
    )
    assert started["frozen"] == {}


def test_only_discriminators_of_our_shape_go_on(states, caplog):
    """Those of another kind or size start anew, and a line says so."""
    known = states[0][2]["params"]["discriminators"]
    smaller = {"periods": (2,), "channels": (2, 2)}
    groups = {"components": {"vocoder": {"vocoder": CONFIG["vocoder"]}}}
    task = make_task(changed(**groups, discriminators={"mpd": smaller}))
    generator = remove_weight_norm(states[0][0]["params"]["vocoder"])
    frozen = {"vocoder": generator, "discriminators": known}
    begun = task.init(jax.random.key(7), batch(), frozen)["params"]["discriminators"]
    jax.tree.map(np.testing.assert_array_equal, begun["msd"], known["msd"])
    assert caplog.text.count("starts anew") == 1
    assert "discriminator mpd starts anew" in caplog.text


def test_fine_tuning_hears_mels_as_the_vae_rebuilds_them():
    config = changed(
        components={"autoencoder": {"autoencoder": VAE}},
        loss={"features": 0, "adversarial": 0},
        audio={"value_low": -10.0, "value_high": 2.0},
    )
    vae = build_vae(VAEConfig(channels=(8, 8), latent=2, groups=4, blocks=1))
    params = random_params(vae)
    task = make_task(config)
    before = task.init(KEY, batch(), {"autoencoder": params})
    _, metrics = jax.jit(task.step)(before, batch(), KEY)
    jax.tree.map(np.testing.assert_array_equal, before["frozen"]["autoencoder"], params)
    spec = AudioSpec.from_config(config["audio"])
    wave = batch()["audio"]
    mel = normalize(spec, log_mel(spec, wave))[..., None]
    mean = vae.apply(params, mel, method="encode").mean
    rebuilt = denormalize(spec, vae.apply(params, mean, method="decode")[..., 0])
    generator = build_hifigan(generator_config(CONFIG))
    fake = generator.apply(before["params"]["vocoder"], rebuilt)
    expected = gan_losses.mel_loss(full_band(spec), wave, fake)
    np.testing.assert_allclose(metrics["mel"], expected, rtol=1e-5)
