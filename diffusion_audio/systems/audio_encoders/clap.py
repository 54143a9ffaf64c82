"""CLAP's audio tower: a vector of a sound, in the space that it shares with texts.

Wu et al. 2023. A clip of ten seconds or less is filled up as the mel's ``padding``
says, and gives one embedding; a longer one is cut into windows of ten seconds that are
spread evenly over it. The originals crop at random instead, or shrink the whole (with
feature fusion): then one clip has many embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.clap_mel import ClapMel, clap_decibels, filled
from diffusion_audio.audio.windows import covering_windows, require_waves
from diffusion_audio.errors import UserError
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.settings import of_group
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        audio: of the tower, a `models.htsat.HTSATConfig`.
        mel: of its front end, an `audio.clap_mel.ClapMel`.
    """

    audio: Mapping[str, Any] = field(default_factory=dict)
    mel: Mapping[str, Any] = field(default_factory=dict)


def build(cfg: Config) -> AudioEncoder:
    """The encoder of a config.

    Raises:
        UserError: the front end shows what the tower does not look at.
    """
    tower = of_group(HTSATConfig, cfg.audio, "clap: audio")
    mel = of_group(ClapMel, cfg.mel, "clap: mel")
    fits = mel.n_mels == tower.n_mels and mel.fusion == tower.fusion
    if not fits or mel.frames > tower.frames:
        raise UserError(
            f"clap: expected mels of {tower.n_mels} bands and up to {tower.frames} "
            f"frames, fusion={tower.fusion}, as the tower looks at; got {mel.n_mels} "
            f"bands, {mel.frames} frames, fusion={mel.fusion}"
        )
    network = build_htsat(tower)

    def encode(params: Params, waves: Array) -> Encoded:
        require_waves(waves, "CLAP")
        if waves.shape[1] < mel.samples:
            waves = filled(mel, waves)
        windows = covering_windows(waves, mel.samples)
        batch, count, samples = windows.shape
        mels = clap_decibels(mel, windows.reshape(batch * count, samples))
        mels = jnp.repeat(mels[..., None], tower.inputs, axis=-1)
        embedding = network.apply(params, mels)
        return Encoded(embedding.reshape(batch, count, -1), None)

    return AudioEncoder(
        network=network,
        sample_rate=mel.sample_rate,
        width=tower.embedding,
        classes=None,
        window=mel.samples,
        encode=encode,
    )
