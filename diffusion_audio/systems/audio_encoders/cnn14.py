"""PANNs' Cnn14: one embedding and the logits of AudioSet's classes of a whole clip.

Kong et al. 2020. AudioLDM's FD, KL and inception score are measured with it: at 16 kHz,
or at 32 kHz with the defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.panns_mel import PannsMel, panns_mel, panns_mel_filled
from diffusion_audio.audio.windows import require_waves
from diffusion_audio.errors import UserError
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.settings import of_group
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        network: a `models.cnn14.Cnn14Config`.
        mel: of its front end, an `audio.panns_mel.PannsMel`.
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    mel: Mapping[str, Any] = field(default_factory=dict)


def build(cfg: Config) -> AudioEncoder:
    """The encoder of a config.

    Raises:
        UserError: the front end has other bands than the network.
    """
    shape = of_group(Cnn14Config, cfg.network, "cnn14: network")
    mel = of_group(PannsMel, cfg.mel, "cnn14: mel")
    if mel.n_mels != shape.n_mels:
        raise UserError(
            f"cnn14: expected mels of {shape.n_mels} bands, as the network has them, "
            f"got {mel.n_mels}"
        )
    network = build_cnn14(shape)

    def encode(params: Params, waves: Array) -> Encoded:
        require_waves(waves, "Cnn14")
        embedding, logits = network.apply(params, panns_mel(mel, waves))
        return Encoded(embedding[:, None], logits[:, None])

    def encode_filled(params: Params, waves: Array, samples: Array) -> Encoded:
        mels, frames = panns_mel_filled(mel, waves, samples)
        embedding, logits = network.apply(params, mels, frames)
        return Encoded(embedding[:, None], logits[:, None])

    return AudioEncoder(
        network=network,
        sample_rate=mel.sample_rate,
        width=shape.embedding,
        classes=shape.classes,
        window=None,
        encode=encode,
        least=max(mel.n_fft // 2 + 1, (shape.factor - 1) * mel.hop_length),
        encode_filled=encode_filled,
    )
