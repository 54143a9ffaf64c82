"""Audio encoders: what each hears of a clip, and how many embeddings it has."""

import functools

import jax
import numpy as np
import pytest

from diffusion_audio.audio.clap_mel import ClapMel, clap_mel
from diffusion_audio.audio.windows import window_starts
from diffusion_audio.errors import UserError
from diffusion_audio.systems.audio_encoders import TABLE
from diffusion_audio.systems.table import build
from tests.networks import random_params

CLAP = {
    "name": "clap",
    "audio": {"width": 4, "depths": (2,), "heads": (2,), "window": 4, "side": 16}
    | {"n_mels": 6, "embedding": 5},
    "mel": {"sample_rate": 8000, "n_fft": 128, "hop_length": 50, "n_mels": 6}
    | {"fmax": 3000.0, "samples": 1000},
}
TINY = {"clap": CLAP}


@functools.cache
def made(name):
    encoder = build(TABLE, TINY[name], "it")
    return encoder, random_params(encoder.network), jax.jit(encoder.encode)


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", TINY)
def test_every_encoder_does_what_it_says(name):
    encoder, params, encode = made(name)
    waves = noise(3, 2 * (encoder.window or 1000))
    encoded = encode(params, waves)
    assert encoded.embedding.shape[::2] == (3, encoder.width)
    assert encoded.embedding.dtype == np.float32
    assert (encoded.logits is None) == (encoder.classes is None)
    if encoder.classes is not None:
        assert encoded.logits.shape == (*encoded.embedding.shape[:2], encoder.classes)
    if encoder.window is not None:
        assert encoded.embedding.shape[1] == 2
    other = encode(params, np.flip(waves, 0))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, np.flip(y, 0), atol=1e-5),
        encoded,
        other,
    )
    assert np.ptp(encoded.embedding, axis=0).max() > 1e-3  # the clips differ


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    "waves", [np.zeros((2, 0)), np.zeros(9), np.zeros((2, 9), int)]
)
def test_what_are_no_waves_is_refused(name, waves):
    encoder, params, _ = made(name)
    with pytest.raises(UserError, match=r"expected waves of floats \[B, N\], got"):
        encoder.encode(params, waves)


@pytest.mark.parametrize(
    ("samples", "fusion"), [(130, False), (1000, False), (2400, True)]
)
def test_clap_hears_what_its_front_end_shows(samples, fusion):
    group = CLAP | {
        "audio": CLAP["audio"] | {"fusion": fusion},
        "mel": CLAP["mel"] | {"fusion": fusion},
    }
    encoder = build(TABLE, group, "it")
    params = random_params(encoder.network)
    wave = noise(samples) * np.hanning(samples).astype(np.float32)
    embedding = jax.jit(encoder.encode)(params, wave[None]).embedding[0]
    starts = window_starts(samples, 1000) if samples > 1000 else [0]
    mels = [
        clap_mel(ClapMel(**group["mel"]), wave[start : start + 1000]).mel
        for start in starts
    ]
    expected = encoder.network.apply(params, np.stack(mels))
    np.testing.assert_allclose(embedding, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mel", "line"),
    [
        ({"n_mels": 5}, "got 5 bands"),
        ({"fusion": True}, "fusion=True$"),
        ({"samples": 2000}, "up to 32 frames, .* 41 frames"),
    ],
)
def test_a_front_end_of_another_tower_is_refused(mel, line):
    with pytest.raises(UserError, match=line):
        build(TABLE, CLAP | {"mel": CLAP["mel"] | mel}, "it")


def test_windows_hold_the_whole_wave():
    assert window_starts(1000, 1000).tolist() == [0]
    assert window_starts(1001, 1000).tolist() == [0, 1]
    assert window_starts(2500, 1000).tolist() == [0, 750, 1500]
