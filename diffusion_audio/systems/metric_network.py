"""A published network of metrics as an audio encoder with its weights."""

import json
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import metric_catalog, metric_networks
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


def read_encoder(place: str | Path, name: str | None = None) -> ReadEncoder:
    """The encoder of a name of the catalog, a published file or a converted folder.

    Args:
        place: where it lies.
        name: as it is asked for; of one in the catalog it must have the settings.

    Raises:
        UserError: as of `metric_networks.read`: where files lack, with the command that
            brings them; or it is another network than that of the name.
    """
    read = metric_networks.read(place)
    if name is not None and metric_catalog.is_known(name):
        wanted = metric_catalog.find(name).encoder
        # A converted folder's are of JSON, which has no tuples.
        texts = [json.dumps(group, sort_keys=True) for group in (wanted, read.config)]
        if texts[0] != texts[1]:
            raise UserError(
                f"{place} is not {name!r}: expected the settings {texts[0]}, got "
                f"{texts[1]}; give the file of that network"
            )
    encoder = build(audio_encoders.TABLE, read.config, str(place))
    return ReadEncoder(encoder, read.params, read.sha256)
