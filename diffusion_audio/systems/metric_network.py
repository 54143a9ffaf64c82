"""A published network of metrics as an audio encoder with its weights."""

from pathlib import Path
from typing import NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.pretrained import metric_networks
from diffusion_audio.systems import audio_encoders
from diffusion_audio.systems.audio_encoders import AudioEncoder
from diffusion_audio.systems.table import build


class ReadEncoder(NamedTuple):
    """An encoder that is ready for use.

    Attributes:
        encoder: its front end and network.
        params: of the network, NumPy arrays.
        weights_hash: SHA-256 of the published file that they are from; the same
            whether the file was converted or not.
    """

    encoder: AudioEncoder
    params: Params
    weights_hash: str


def read_encoder(place: str | Path) -> ReadEncoder:
    """The encoder of a name of the catalog, a published file or a converted folder.

    Raises:
        UserError: as of `metric_networks.read`: where files lack, with the command that
            brings them.
    """
    read = metric_networks.read(place)
    encoder = build(audio_encoders.TABLE, read.config, str(place))
    return ReadEncoder(encoder, read.params, read.sha256)
