"""PaSST: an embedding and the logits of AudioSet's classes of each ten seconds.

Koutini et al. 2022. Zeros follow a shorter clip, as in the programs that measure
text-to-audio systems; a longer one is cut into windows that are spread evenly over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.passt_mel import PasstMel, passt_mel
from diffusion_audio.audio.windows import covering_windows, require_waves
from diffusion_audio.errors import UserError
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.settings import of_group
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        network: a `models.passt.PasstConfig`.
        mel: of its front end, an `audio.passt_mel.PasstMel`.
        scene: whether an embedding is the logits and the embedding, 1295 numbers, as
            hear21passt's embeddings of scenes are.
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    mel: Mapping[str, Any] = field(default_factory=dict)
    scene: bool = False


def build(cfg: Config) -> AudioEncoder:
    """The encoder of a config.

    Raises:
        UserError: the front end shows what the network does not look at.
    """
    shape = of_group(PasstConfig, cfg.network, "passt: network")
    mel = of_group(PasstMel, cfg.mel, "passt: mel")
    if mel.n_mels != shape.n_mels or not shape.patch <= mel.frames <= shape.most_frames:
        raise UserError(
            f"passt: expected mels of {shape.n_mels} bands and {shape.patch} to "
            f"{shape.most_frames} frames, as the network has them, got {mel.n_mels} "
            f"bands and {mel.frames} frames"
        )
    network = build_passt(shape)

    def encode(params: Params, waves: Array) -> Encoded:
        require_waves(waves, "PaSST")
        missing = max(0, mel.samples - waves.shape[1])
        waves = jnp.pad(waves, ((0, 0), (0, missing)))
        windows = covering_windows(waves, mel.samples)
        batch, count, samples = windows.shape
        mels = passt_mel(mel, windows.reshape(batch * count, samples))
        embedding, logits = network.apply(params, mels)
        if cfg.scene:
            embedding = jnp.concatenate([logits, embedding], axis=-1)
        return Encoded(
            embedding.reshape(batch, count, -1), logits.reshape(batch, count, -1)
        )

    return AudioEncoder(
        network=network,
        sample_rate=mel.sample_rate,
        width=shape.width + shape.classes * cfg.scene,
        classes=shape.classes,
        window=mel.samples,
        encode=encode,
    )
