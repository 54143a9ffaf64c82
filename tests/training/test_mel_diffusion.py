"""Diffusion without a VAE: on patches of the mel itself, from a latent cache too."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation import load
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.systems.system import build
from diffusion_audio.training import run
from tests.recipes import folder_of_audio, tiny


@pytest.mark.slow
def test_a_run_without_a_vae(tmp_path):
    config = tiny("diffusion", folder_of_audio(tmp_path / "audio"), steps=1)
    config.data.cache_latents = True
    config.autoencoder.size = 2  # 4 channels, as the tiny UNet has
    config.listen.prompts = ()
    run.train(config, tmp_path / "run")
    saved = Checkpoints(tmp_path / "run" / "checkpoints").saved(1)
    assert set(saved["frozen"]) == {"latent_scale"}
    pipeline = load(tmp_path / "run")
    (mels,) = pipeline.batches(["a tone"], np.asarray, key=jax.random.key(0), steps=2)
    assert mels.shape == (1, 32, 64)
    assert np.isfinite(mels).all()


def test_channels_must_be_those_of_the_patches():
    config = tiny("diffusion", "tones")
    config.autoencoder.size = 4
    with pytest.raises(UserError, match="the latents have 16"):
        build(resolve(config))
