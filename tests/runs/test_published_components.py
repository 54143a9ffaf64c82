"""Parts of folders that `convert` wrote: refused where config and weights differ."""

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.t5 import T5Config
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained import system_folder
from diffusion_audio.pretrained.published_system import PublishedSystem, group, plain
from diffusion_audio.runs import components

UNET = UNetConfig(
    in_channels=4,
    out_channels=4,
    channels=(8,),
    attention=(False,),
    heads=(1,),
    blocks=1,
    groups=4,
)
VAE = VAEConfig(in_channels=1, channels=(8,), blocks=1, latent=4, groups=4)
VOCODER = HiFiGANConfig(
    n_mels=4,
    channels=8,
    rates=(4,),
    kernels=(8,),
    resblock_kernels=(3,),
    dilations=((1,),),
    weight_norm=False,
)
T5 = T5Config(vocabulary=9, width=8, depth=1, heads=2, head_width=4, hidden=8)
# What loads a part, its config as a run has it, and the part's name in a folder.
PARTS = {
    "autoencoder": (
        components.load_autoencoder,
        {"autoencoder": group("vae", VAE)},
        "autoencoder",
    ),
    "vocoder": (
        components.load_vocoder,
        {"vocoder": group("hifigan", VOCODER)},
        "vocoder",
    ),
    "denoiser": (
        components.load_denoiser,
        {"denoiser": group("unet", UNET)},
        "denoiser",
    ),
    "conditioners": (
        components.load_conditioners,
        {"conditioners": {"t5": {"name": "t5", "encoder": plain(T5)}}},
        "conditioners/t5",
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_weights_of_another_config(tmp_path, name):
    load, config, part = PARTS[name]
    system = PublishedSystem(
        config={"data": {"seconds": 1.0}},
        parts={part: lambda: {"other": {"kernel": np.ones((2, 3), np.float32)}}},
        files={},
        latent_scale=1.0,
        extras={},
    )
    system_folder.write(tmp_path, system)
    line = rf"{tmp_path}: {part} lacks .*; it has what this model has no place for: oth"
    with pytest.raises(UserError, match=line) as refused:
        load(tmp_path, config)
    assert "\n" not in str(refused.value)
