"""The front ends of metrics' networks against their definitions, in float64.

At any length and level: what is near a floor beside a full tone, and silence.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from diffusion_audio.audio.panns_mel import PANNS_16K, PannsMel, panns_mel
from diffusion_audio.audio.passt_mel import PasstMel, passt_mel
from diffusion_audio.audio.vggish_mel import VGGishMel, vggish_mel

pytestmark = pytest.mark.parity

pytest.importorskip("torch")

from tests.parity import metric_torch as paper  # noqa: E402

EXACT = 1e-5


def waves(samples):
    """Noise loud and faint, a full tone that fades, a click, a constant, silence."""
    rng = np.random.default_rng(0)
    click = np.zeros(samples)
    click[samples // 3] = 1.0
    tone = np.sin(0.3 * np.arange(samples)) * np.linspace(1, 0, samples) ** 4
    noise = rng.uniform(-1, 1, samples)
    silence = np.zeros(samples)
    found = [noise, 1e-4 * noise, tone, click, silence + 0.7, silence]
    return np.stack(found).astype(np.float32)


def settings(cfg):
    return dataclasses.astuple(cfg)


def same(ours, cfg, sounds, theirs):
    mel = jax.jit(functools.partial(ours, cfg))(sounds)
    np.testing.assert_allclose(mel, theirs.numpy(), atol=EXACT)


@pytest.mark.parametrize("cfg", [PANNS_16K, PannsMel()])
@pytest.mark.parametrize("samples", [513, 16_001, 32_319])
def test_panns(cfg, samples):
    sounds = waves(samples)
    same(panns_mel, cfg, sounds, paper.decibels(sounds, *settings(cfg)))


@pytest.mark.parametrize("frames", [1, 7, 96])
def test_vggish(frames):
    cfg = VGGishMel()
    sounds = waves(cfg.samples(frames))
    theirs = paper.vggish_examples(sounds, *settings(cfg), frames)
    same(vggish_mel, cfg, sounds, theirs[:, 0])


@pytest.mark.parametrize("samples", [514, 32_000, 40_033])
def test_passt(samples):
    sounds = waves(samples)
    cfg = PasstMel()
    same(passt_mel, cfg, sounds, paper.passt_mels(sounds, *settings(cfg)))
