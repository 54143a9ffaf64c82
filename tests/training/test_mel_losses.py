"""Mel distances of the vocoder: what silence is told, and which one a config takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import full_band, log_mel
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError
from diffusion_audio.training import gan_losses
from diffusion_audio.training.vocoder_loss import VocoderLossConfig

SPEC = PRESETS["tones_16k"]
TONE = 0.3 * jnp.sin(2 * jnp.pi * 440 * jnp.arange(4096.0) / 16_000)[None]


def test_equal_waves_are_at_no_distance():
    assert float(gan_losses.soft_mel_loss(SPEC, TONE, TONE)) == 0.0


def test_it_is_the_square_of_the_log_where_all_is_loud():
    louder = gan_losses.soft_mel_loss(
        SPEC.__class__(**(SPEC.to_dict() | {"floor": 1e-9})), TONE, 2 * TONE
    )
    active = log_mel(SPEC, TONE) > np.log(SPEC.floor) + 3
    assert active.any()
    np.testing.assert_allclose(louder, np.log(2) ** 2, rtol=0.2)


def test_near_silence_is_told_where_to_sound_and_the_clamped_loss_says_nothing():
    quiet = 1e-4 * TONE[:, ::-1]
    soft = jax.grad(lambda fake: gan_losses.soft_mel_loss(SPEC, TONE, fake))(quiet)
    clamped = jax.grad(lambda fake: gan_losses.mel_loss(SPEC, TONE, fake))(quiet)
    assert float(jnp.abs(soft).max()) > 0
    assert float(jnp.abs(clamped).max()) == 0


def test_full_band_goes_up_to_half_the_rate_and_down_to_the_papers_floor():
    loss_spec = full_band(PRESETS["hifigan_22k"])
    assert (loss_spec.fmax, loss_spec.floor) == (11_025, 1e-5)
    assert full_band(SPEC).floor == 1e-5


def test_an_unknown_distance_is_named():
    with pytest.raises(UserError, match="unknown mel distance 'sotf'; did you mean"):
        VocoderLossConfig(mel_distance="sotf")


def test_scales_of_the_multiscale_loss_are_dacs():
    scales = gan_losses.mel_scales(44_100)
    assert [s.n_mels for s in scales] == [5, 10, 20, 40, 80, 160, 320]
    assert [s.n_fft for s in scales] == [32, 64, 128, 256, 512, 1024, 2048]
    assert {s.hop_length * 4 / s.n_fft for s in scales} == {1}


@pytest.mark.slow
def test_multiscale_loss_of_a_louder_wave_is_the_log_of_its_gain_at_each_scale():
    noise = jax.random.normal(jax.random.key(0), (1, 4096))
    assert float(gan_losses.multiscale_mel_loss(16_000, noise, noise)) == 0.0
    loss = gan_losses.multiscale_mel_loss(16_000, noise, 10 * noise)
    np.testing.assert_allclose(loss, 7.0, rtol=1e-2)
