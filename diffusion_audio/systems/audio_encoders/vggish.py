"""VGGish: an embedding of each 0.96 s of a clip, one after another.

Hershey et al. 2017. The examples follow each other without overlap, and what is left
at the end is not used, as in the FAD of papers. An example has 96 frames; its last
ones reach 15 ms into the next, so a clip must have 0.975 s to have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.vggish_mel import VGGishMel, vggish_mel
from diffusion_audio.audio.windows import require_waves
from diffusion_audio.errors import UserError
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.settings import of_group
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        network: a `models.vggish.VGGishConfig`.
        mel: of its front end, an `audio.vggish_mel.VGGishMel`.
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    mel: Mapping[str, Any] = field(default_factory=dict)


def build(cfg: Config) -> AudioEncoder:
    """The encoder of a config.

    Raises:
        UserError: the front end has other bands than the network.
    """
    shape = of_group(VGGishConfig, cfg.network, "vggish: network")
    mel = of_group(VGGishMel, cfg.mel, "vggish: mel")
    if mel.n_mels != shape.n_mels:
        raise UserError(
            f"vggish: expected mels of {shape.n_mels} bands, as the network has them, "
            f"got {mel.n_mels}"
        )
    network = build_vggish(shape)
    least, hop = mel.samples(shape.frames), mel.hop_length * shape.frames

    def encode(params: Params, waves: Array) -> Encoded:
        require_waves(waves, "VGGish")
        batch, length = waves.shape
        if length < least:
            raise UserError(
                f"VGGish: expected waves of {least} samples or more, got {length}; pad "
                "them with zeros"
            )
        count = 1 + (length - least) // hop
        frames = vggish_mel(mel, waves[:, : mel.samples(count * shape.frames)])
        examples = frames.reshape(batch * count, shape.frames, mel.n_mels)
        embedding = network.apply(params, examples)
        return Encoded(embedding.reshape(batch, count, -1), None)

    return AudioEncoder(
        network=network,
        sample_rate=mel.sample_rate,
        width=shape.embedding,
        classes=None,
        window=least,
        encode=encode,
        hop=hop,
        least=least,
    )
