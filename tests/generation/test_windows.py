import dataclasses

import jax
import numpy as np
import pytest

from diffusion_audio.diffusion.multidiffusion import overlapping
from diffusion_audio.errors import UserError
from diffusion_audio.generation.windows import cut, faded, stream
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan, margin
from tests.networks import random_params

TINY = HiFiGANConfig(
    n_mels=5,
    channels=8,
    rates=(4, 2),
    kernels=(8, 5),
    resblock_kernels=(3, 5),
    dilations=((1, 3), (1, 2)),
    weight_norm=False,
)
KINDS = {
    "pairs": {"cut": "start"},
    "snake": {"resblock": "2", "activation": "snakebeta", "antialias": True},
    "istft": {"istft_n_fft": 16},
}


@pytest.fixture(params=KINDS)
def case(request):
    cfg = dataclasses.replace(TINY, **KINDS[request.param])
    network = build_hifigan(cfg)
    params = random_params(network)
    run = jax.jit(lambda mel: network.apply(params, mel))
    frames = 5 * margin(cfg)
    mel = np.random.default_rng(1).normal(size=(2, frames, 5)).astype(np.float32)
    return cfg, run, mel


def test_pieces_are_the_whole(case):
    cfg, run, mel = case
    shapes = []

    def vocode(mel):
        shapes.append(mel.shape)
        return run(mel)

    size = 2 * margin(cfg) + 3
    told = {"hop": cfg.hop_length, "size": size}
    pieces = list(stream(vocode, mel, margin=margin(cfg), **told))
    whole = np.asarray(run(mel))
    assert len(pieces) > 3
    assert set(shapes) == {(2, size, 5)}  # one compilation, whatever the length
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, atol=1e-5)
    assert whole.std() > 0.01
    joined = np.concatenate(list(stream(run, mel, margin=1, **told)), 1)
    assert np.abs(joined - whole).max() > 1e-4  # too little overlap would be heard


def test_what_fits_into_a_window_is_done_at_once():
    mel = np.zeros((1, 9, 5), np.float32)
    [wave] = stream(lambda mel: mel.repeat(8, 1)[..., 0], mel, hop=8, margin=2, size=9)
    assert wave.shape == (1, 72)


def test_a_window_is_large_enough_to_have_a_middle():
    mel = np.arange(30.0).reshape(1, 30, 1)
    pieces = list(stream(lambda mel: mel[..., 0], mel, hop=1, margin=4, size=2))
    np.testing.assert_array_equal(np.concatenate(pieces, 1), mel[..., 0])


@pytest.mark.parametrize("length", [1, 39, 40, 41, 50, 51, 60, 61, 100, 137])
@pytest.mark.parametrize("fill", [None, -7.0])
def test_what_is_kept_of_windows_is_the_stream(length, fill):
    stream = np.arange(1.0, length + 1)
    kept, reached = [], 0
    for window, part in cut(np.array_split(stream, 3), 50, 10, fill):
        assert window.shape == (50 if fill or length > 50 else length,)
        kept.append(window[part])
        reached += len(kept[-1])
        assert part.start >= 10 or len(kept) == 1
        after = len(window) - part.stop
        assert after >= 10 or (fill is None and reached == length)
        # What follows the stream is the fill, and what is before is the stream.
        ahead = stream[reached - part.stop : reached + after]
        np.testing.assert_array_equal(window[: len(ahead)], ahead)
        assert (window[len(ahead) :] == fill).all()
    np.testing.assert_array_equal(np.concatenate(kept), stream)


@pytest.mark.parametrize("blocks", [[], [np.zeros(0)], [np.zeros(0), np.zeros(0)]])
def test_of_nothing_there_is_no_window(blocks):
    assert list(cut(blocks, 50, 10)) == list(cut(blocks, 50, 10, fill=0.0)) == []


def test_windows_without_a_middle_are_refused():
    with pytest.raises(UserError, match="of 20 are too small: more than 20 are"):
        next(cut([np.zeros(100)], 20, 10))


@pytest.mark.parametrize("axis", [1, 2])
def test_windows_that_agree_fade_into_the_whole(axis):
    x = np.random.default_rng(0).standard_normal((2, 17, 17, 1), np.float32)
    x = x[:, :, :5] if axis == 1 else x[:, :5]
    shapes = []

    def decode(part):
        shapes.append(part.shape)
        frames = part[..., 0] if axis == 1 else part[..., 0].swapaxes(1, 2)
        return np.repeat(frames, 3, axis=1)

    made = faded(decode, x, overlapping(17, 6, 2), axis=axis, factor=3)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, decode(x), atol=1e-6)
    assert len(set(shapes[:-1])) == 1
    assert len(shapes[:-1]) == 4


def test_windows_that_do_not_agree_have_no_join():
    x = np.zeros((1, 20, 1), np.float32)
    levels = iter([0.0, 1.0])

    def decode(part):
        return np.full((1, 24, 1), next(levels), np.float32)

    made = faded(decode, x, overlapping(20, 12, 4), axis=1, factor=2)[0, :, 0]
    assert (made[:16] == 0).all()
    assert (made[24:] == 1).all()
    assert (np.diff(made) >= 0).all()
    assert np.diff(made).max() < 0.25


def test_one_window_is_what_is_made_of_it():
    x = np.random.default_rng(0).standard_normal((1, 5, 2), np.float32)
    made = faded(lambda part: part / 3, x, overlapping(5, 8, 4), axis=1, factor=1)
    np.testing.assert_array_equal(made, x / 3)
