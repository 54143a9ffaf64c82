"""The autoencoder's loss and step by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import log_mel, normalize
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import Moments
from diffusion_audio.nn.functional import Network
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training.tasks import vae
from tests.recipes import tiny

KEY = jax.random.key(0)
SPREAD = 0.5  # of the posterior


def apply(params, x, *, method):
    """A mean that is a part of the image, of one width, and back as it is."""
    if method == "decode":
        return x
    mean = params["w"] * x[:, :, ::2]
    return Moments(mean, jnp.full_like(mean, 2 * np.log(SPREAD)))


def decode_wide(params, x, *, method):
    out = apply(params, x, method=method)
    return jnp.repeat(out, 2, axis=2) if method == "decode" else out


NETWORK = Network(lambda key: {"w": jnp.float32(2.0)}, decode_wide)
PARAMS = {"autoencoder": {"w": jnp.float32(2.0)}}


def task(**loss):
    config = resolve(tiny("vae", "tones"))
    config["loss"] = {"distance": "l1", "kl_weight": 0.1, **loss}
    return dataclasses.replace(vae.configure(config), network=NETWORK)


def batch():
    rng = np.random.default_rng(0)
    audio = 0.1 * rng.standard_normal((2, 2048), np.float32)
    return {"audio": audio, "index": np.arange(2, dtype=np.int32)}


def by_hand(made, step=0, distance=np.abs):
    """Reconstruction and KL, each a mean over the elements of the images."""
    given = batch()
    mel = np.asarray(normalize(made.spec, log_mel(made.spec, given["audio"])))[
        ..., None
    ]
    mean = 2 * mel[:, :, ::2]
    keys = example_keys(step_key(KEY, "posterior", step), given["index"])
    z = mean + SPREAD * np.asarray(example_noise(keys, mean.shape[1:]))
    rebuilt = np.repeat(z, 2, axis=2)
    variance = SPREAD**2
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    return distance(rebuilt - mel).mean(), kl.sum(axis=(1, 2, 3)).mean() / mel[0].size


@pytest.mark.parametrize("step", [0, 2])
@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_the_loss_by_hand(distance, weight, step):
    made = task(distance=distance, kl_weight=weight)
    state = made.rule.start(PARAMS) | {"step": jnp.int32(step)}
    loss, metrics = vae.loss(made, PARAMS, state, batch(), KEY)
    norm = {"l1": np.abs, "l2": np.square}[distance]
    reconstruction, kl = by_hand(made, step, norm)
    np.testing.assert_allclose(metrics["reconstruction"], reconstruction, rtol=1e-4)
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(loss, reconstruction + weight * kl, rtol=1e-4)


def test_a_step_follows_the_gradient_of_the_whole_loss():
    made = task(kl_weight=3.0)
    state = made.rule.start(PARAMS)
    after, metrics = vae.step(made, state, batch(), KEY)
    grad = jax.grad(lambda p: vae.loss(made, p, state, batch(), KEY)[0])(PARAMS)
    expected = made.rule.update(state, grad)
    np.testing.assert_allclose(
        after["params"]["autoencoder"]["w"], expected["params"]["autoencoder"]["w"]
    )
    np.testing.assert_allclose(
        metrics["grad_norm"], abs(grad["autoencoder"]["w"]), rtol=1e-6
    )


def test_an_evaluation_is_of_the_averages_and_of_the_mean():
    made = task()
    state = made.rule.start(PARAMS)
    other = {"autoencoder": {"w": jnp.float32(1.0)}}
    shown = vae.evaluate(made, state | {"ema": other}, iter([batch()]), KEY)
    mel = np.asarray(log_mel(made.spec, batch()["audio"]))
    rebuilt = np.repeat(mel[:, :, ::2], 2, axis=2)  # without noise, at w = 1
    assert shown.metrics["mel_l1"] == pytest.approx(
        np.abs(rebuilt - mel).mean(), rel=1e-3
    )
    np.testing.assert_allclose(
        shown.spectrograms["real_and_rebuilt/0"],
        np.concatenate([mel[0], rebuilt[0]]),
        atol=1e-3,
    )


def test_what_has_nothing_to_train_is_refused():
    config = resolve(tiny("vae", "tones"))
    config["autoencoder"] = {"name": "patches", "size": 2}
    with pytest.raises(UserError, match="'patches', which has nothing to train"):
        vae.configure(config)
