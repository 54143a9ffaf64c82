"""The adversarial losses by hand, from a few numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import full_band, log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.models.discriminators import DiscriminatorOutput
from diffusion_audio.training import gan_losses
from diffusion_audio.training.vocoder_loss import VocoderLossConfig, weighted

# Two sub-discriminators: their logits, and the outputs of their layers.
REAL = [
    DiscriminatorOutput(
        jnp.array([[0.5, 2.0]]), (jnp.array([1.0, 3.0]), jnp.array([2.0]))
    ),
    DiscriminatorOutput(jnp.array([[-1.0]]), (jnp.array([4.0]),)),
]
FAKE = [
    DiscriminatorOutput(
        jnp.array([[0.0, 3.0]]), (jnp.array([2.0, 0.0]), jnp.array([2.5]))
    ),
    DiscriminatorOutput(jnp.array([[0.5]]), (jnp.array([3.0]),)),
]
SPEC = AudioSpec(16_000, 256, 256, 64, 8, fmin=100.0, fmax=4000.0, floor=1e-2)
WAVE = np.random.default_rng(0).normal(0, 0.1, (2, 2, 512)).astype(np.float32)


def test_discriminators_are_to_say_one_of_real_and_zero_of_fake():
    real = np.mean([0.5**2, 1.0**2]) + 2.0**2
    fake = np.mean([0.0, 3.0**2]) + 0.5**2
    got = gan_losses.discriminator_loss(REAL, FAKE)
    np.testing.assert_allclose(got, real + fake, rtol=1e-6)


def test_the_generator_is_to_hear_one():
    expected = np.mean([1.0, 2.0**2]) + 0.5**2
    np.testing.assert_allclose(gan_losses.adversarial_loss(FAKE), expected, rtol=1e-6)


def test_features_of_every_layer_are_matched():
    expected = np.mean([1.0, 3.0]) + 0.5 + 1.0
    got = gan_losses.feature_loss(REAL, FAKE)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_mel_loss_is_absolute():
    a, b = (np.asarray(log_mel(SPEC, wave)) for wave in WAVE)
    got = gan_losses.mel_loss(SPEC, *WAVE)
    np.testing.assert_allclose(got, np.abs(a - b).mean(), rtol=1e-5)


def test_the_soft_mel_loss_adds_the_floor_to_magnitudes():
    clear = AudioSpec(**(SPEC.to_dict() | {"floor": gan_losses.TINY}))
    a, b = (np.log(np.exp(log_mel(clear, wave)) + SPEC.floor) for wave in WAVE)
    got = gan_losses.soft_mel_loss(SPEC, *WAVE)
    np.testing.assert_allclose(got, np.square(a - b).mean(), rtol=1e-4)


def test_the_multiscale_loss_sums_decades(monkeypatch):
    """Of a wave ten times as loud, 1 at each scale; of two scales here."""
    monkeypatch.setattr(gan_losses, "MEL_WINDOWS", (128, 256))
    got = gan_losses.multiscale_mel_loss(16_000, WAVE[0], 10 * WAVE[0])
    np.testing.assert_allclose(got, 2.0, rtol=1e-2)


@pytest.mark.parametrize("distance", ["l1", "soft"])
def test_the_distance_that_a_config_names_is_taken(distance):
    cfg = VocoderLossConfig(mel_distance=distance)
    expected = {
        "l1": gan_losses.mel_loss(full_band(SPEC), *WAVE),
        "soft": gan_losses.soft_mel_loss(SPEC, *WAVE),
    }
    [got] = [distance(*WAVE) for distance in cfg.distances(SPEC).values()]
    np.testing.assert_allclose(got, expected[distance], rtol=1e-6)


def test_each_term_has_its_own_weight_and_one_of_weight_zero_is_absent():
    cfg = VocoderLossConfig(mel=3.0, stft=5.0, features=7.0, adversarial=11.0)
    terms = {"mel": 1.0, "stft": 10.0, "features": 100.0, "adversarial": 1000.0}
    terms = {name: jnp.float32(value) for name, value in terms.items()}
    assert float(weighted(cfg, terms)) == 3 + 50 + 700 + 11_000
    assert float(weighted(cfg, {"mel": jnp.float32(1.0)})) == 3.0
    assert set(cfg.distances(SPEC)) == {"mel", "stft"}
    assert set(VocoderLossConfig(mel=0.0, stft=1.0).distances(SPEC)) == {"stft"}
