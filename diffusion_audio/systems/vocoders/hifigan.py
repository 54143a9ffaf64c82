"""HiFi-GAN's generator as a vocoder."""

import dataclasses

from diffusion_audio.models.hifigan import HiFiGANConfig as Config
from diffusion_audio.models.hifigan import build_hifigan, margin
from diffusion_audio.nn.conv1d import add_weight_norm, remove_weight_norm
from diffusion_audio.systems.vocoders import Vocoder


def build(cfg: Config) -> Vocoder:
    """The vocoder of a config."""
    network = build_hifigan(cfg)
    plain = dataclasses.replace(cfg, weight_norm=False)
    return Vocoder(
        network=network,
        inference=build_hifigan(plain) if cfg.weight_norm else network,
        n_mels=cfg.n_mels,
        hop_length=cfg.hop_length,
        margin=margin(cfg),
        to_inference=remove_weight_norm,
        to_training=add_weight_norm,
    )
