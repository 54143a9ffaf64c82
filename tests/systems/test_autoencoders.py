"""Segments that latents cannot be made of are refused with the nearest that works."""

import re

import pytest

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError
from diffusion_audio.models.patches import PatchesConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.systems.autoencoders import patches, vae
from tests.recipes import recipe
from tests.tasks import make_task

VAE = vae.build(VAEConfig(channels=(8, 8, 8), latent=4, groups=4))  # halves twice
PATCHES = patches.build(PatchesConfig(size=4))


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("frames", [1, 5, 6, 7, 250])
@pytest.mark.parametrize("part", [VAE, PATCHES])
def test_the_length_that_is_named_works_and_is_the_nearest(spec, frames, part):
    seconds = spec.samples(frames) / spec.sample_rate
    with pytest.raises(UserError, match=f"a segment of {frames} mel frames") as caught:
        part.check(spec, seconds)
    named = float(re.search(r"set it to (\S+)$", str(caught.value)).group(1))
    part.check(spec, named)
    hop = spec.hop_length / spec.sample_rate
    assert abs(named - seconds) < (2 if frames > 1 else 3) * hop + 1e-6


def test_a_clip_a_little_longer_than_its_frames_fits():
    spec = PRESETS["tones_16k"]
    VAE.check(spec, (spec.samples(8) + 3) / spec.sample_rate)


@pytest.mark.parametrize("task", ["vae", "diffusion"])
def test_the_tasks_ask(task):
    config = recipe(task)
    config.data.seconds = 1.0
    if task == "diffusion":
        config.autoencoder.size = 4  # 16 channels, as the UNet has
    with pytest.raises(UserError, match=r"62 mel frames, but .* set it to 1\.024"):
        make_task(resolve(config))


def test_mel_bands_that_a_vae_cannot_make_smaller():
    """100 bands are no multiple of 8, and known to be none before any data is read."""
    config = recipe("vae", "folder")
    config.audio.preset = "bigvgan_24k"
    with pytest.raises(UserError, match="100 mel bands, but the autoencoder takes"):
        make_task(resolve(config))
    config.audio.n_mels = 104
    make_task(resolve(config))
