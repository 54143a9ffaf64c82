"""Audio encoders: what each hears of a clip, and how many embeddings it has."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from diffusion_audio.audio.clap_mel import ClapMel, clap_mel
from diffusion_audio.audio.windows import window_starts
from diffusion_audio.errors import UserError
from diffusion_audio.systems.audio_encoders import TABLE
from diffusion_audio.systems.table import build
from tests.networks import random_params
from tests.systems.tiny_encoders import TINY, params_of, tiny, waves

GOLDEN = Path(__file__).parent / "golden"
CLAP = TINY["clap"]


@functools.cache
def made(name):
    encoder = tiny(name)
    return encoder, params_of(encoder.network), jax.jit(encoder.encode)


@pytest.mark.parametrize("name", TINY)
def test_every_encoder_does_what_it_says(name):
    encoder, params, encode = made(name)
    sounds = waves(name)
    encoded = encode(params, sounds)
    count = encoded.embedding.shape[1]
    assert encoded.embedding.shape == (len(sounds), count, encoder.width)
    assert encoded.embedding.dtype == np.float32
    assert (encoded.logits is None) == (encoder.classes is None)
    if encoder.classes is not None:
        assert encoded.logits.shape == (len(sounds), count, encoder.classes)
        assert encoded.logits.dtype == np.float32
    assert count == (1 if encoder.window is None else 2)
    backwards = encode(params, sounds[::-1])  # of a clip alone, whatever is beside it
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y[::-1], atol=1e-5),
        encoded,
        backwards,
    )


@pytest.mark.parametrize("name", sorted(TINY.keys() - {"clap"}))  # see tests/models
def test_as_its_definition_has_it(name):
    _, params, encode = made(name)
    encoded = encode(params, waves(name))
    golden = np.load(GOLDEN / f"{name}.npz")
    assert golden["embedding"].shape == encoded.embedding.shape
    for part in golden:
        bound = 1e-4 * np.abs(golden[part]).max()
        np.testing.assert_allclose(getattr(encoded, part), golden[part], atol=bound)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("wave", [np.zeros((2, 0)), np.zeros(9), np.zeros((2, 9), int)])
def test_what_are_no_waves_is_refused(name, wave):
    encoder, params, _ = made(name)
    with pytest.raises(UserError, match=r"expected waves of floats \[B, N\], got"):
        encoder.encode(params, wave)


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
    noise = np.random.default_rng(0).uniform(-1, 1, samples)
    wave = (noise * np.hanning(samples)).astype(np.float32)
    embedding = jax.jit(encoder.encode)(params, wave[None]).embedding[0]
    starts = window_starts(samples, 1000) if samples > 1000 else [0]
    mels = [
        clap_mel(ClapMel(**group["mel"]), wave[start : start + 1000]).mel
        for start in starts
    ]
    expected = jax.jit(encoder.network.apply)(params, np.stack(mels))
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


@pytest.mark.parametrize("name", ["cnn14", "vggish", "passt"])
def test_bands_of_another_network_are_refused(name):
    own = TINY[name]["mel"]["n_mels"]
    group = TINY[name] | {"mel": TINY[name]["mel"] | {"n_mels": own - 1}}
    with pytest.raises(UserError, match=f"{own} bands.*, as the network has them, got"):
        build(TABLE, group, "it")


def test_vggish_hears_whole_examples_alone():
    encoder, params, encode = made("vggish")
    sounds, example, hop = waves("vggish"), encoder.window, 21 * 40
    assert encoder.window == 900
    one = encode(params, sounds[:, : example + hop - 1]).embedding
    assert one.shape[1] == 1
    both = encode(params, sounds[:, : example + hop]).embedding
    np.testing.assert_allclose(both[:, :1], one, atol=1e-5)
    with pytest.raises(UserError, match="900 samples or more, got 899"):
        encoder.encode(params, sounds[:, :899])


def test_passt_hears_zeros_after_a_shorter_clip():
    encoder, params, encode = made("passt")
    sounds = waves("passt")[:, :1000]
    padded = np.pad(sounds, ((0, 0), (0, encoder.window - 1000)))
    for mine, other in zip(encode(params, sounds), encode(params, padded), strict=True):
        assert mine.shape[1] == 1
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_windows_hold_the_whole_wave():
    assert window_starts(1000, 1000).tolist() == [0]
    assert window_starts(1001, 1000).tolist() == [0, 1]
    assert window_starts(2500, 1000).tolist() == [0, 750, 1500]


def test_cnn14_hears_the_clip_and_nothing_of_what_fills_it():
    encoder, params, encode = made("cnn14")
    sounds = np.random.default_rng(0).uniform(-1, 1, (5, 2000)).astype(np.float32)
    lengths = np.array([2000, 1999, 1043, 640, encoder.least], np.int32)
    filled = sounds.copy()
    for row, length in zip(filled, lengths, strict=True):
        row[length:] = np.nan
    got = jax.jit(encoder.encode_filled)(params, filled, lengths)
    for row, length in enumerate(lengths):
        alone = encode(params, sounds[row : row + 1, :length])
        for mine, other in zip(got, alone, strict=True):
            np.testing.assert_allclose(mine[row], other[0], atol=1e-5)
