import dataclasses

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models import streaming
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.streaming import margin, stream, windows
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


def test_pieces_are_the_whole(case, monkeypatch):
    cfg, run, mel = case
    shapes = []

    def vocode(mel):
        shapes.append(mel.shape)
        return run(mel)

    size = 2 * margin(cfg) + 3
    pieces = list(stream(vocode, mel, cfg, size))
    whole = np.asarray(run(mel))
    assert len(pieces) > 3
    assert set(shapes) == {(2, size, 5)}  # one compilation, whatever the length
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, atol=1e-5)
    assert whole.std() > 0.01
    monkeypatch.setattr(streaming, "margin", lambda cfg: 1)
    joined = np.concatenate(list(stream(run, mel, cfg, size)), 1)
    assert np.abs(joined - whole).max() > 1e-4  # too little overlap would be heard


def test_what_fits_into_a_window_is_done_at_once():
    mel = np.zeros((1, 9, 5), np.float32)
    [wave] = stream(lambda mel: mel.repeat(8, 1)[..., 0], mel, TINY, 9)
    assert wave.shape == (1, 72)


@pytest.mark.parametrize(("frames", "size", "overlap"), [(100, 20, 3), (21, 20, 9)])
def test_windows_cover_every_frame_once(frames, size, overlap):
    found = list(windows(frames, size, overlap))
    kept = [t for _, keep, stop in found for t in range(keep, stop)]
    assert kept == list(range(frames))
    for start, keep, stop in found:
        assert 0 <= start <= frames - size
        assert keep - start >= overlap or start == 0
        assert start + size - stop >= overlap or stop == frames


def test_windows_without_a_middle_are_refused():
    with pytest.raises(UserError, match="20 frames are too small: more than 20 are"):
        list(windows(100, 20, 10))


def test_margins_of_published_generators():
    assert margin(HiFiGANConfig()) == 15  # V1: 0.17 s
