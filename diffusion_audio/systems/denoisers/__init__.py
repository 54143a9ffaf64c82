"""Denoisers: what predicts noise or data from noisy latents, a time and a condition."""

from typing import NamedTuple

from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.table import Entry, Table, of_module


class Denoiser(NamedTuple):
    """A denoiser.

    Attributes:
        network: ``apply(params, z [B, H, W, C], t [B], condition) -> [B, H, W, D]``
            with a `models.condition.Condition`.
        in_channels: C, of the noisy latents.
        out_channels: D, of the prediction.
    """

    network: Network
    in_channels: int
    out_channels: int


TABLE: Table[Entry[Denoiser]] = Table("denoiser", __name__, of_module)
