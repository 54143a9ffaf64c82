"""Autoencoders: mel spectrograms to latents, in which diffusion works, and back."""

from typing import NamedTuple

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.table import Entry, Table, of_module


class Autoencoder(NamedTuple):
    """An autoencoder of mel spectrograms.

    Attributes:
        network: ``apply(params, mel [B, T, F, 1], method="encode")`` gives
            `models.vae.Moments` [B, H, W, C], and ``method="decode"`` spectrograms.
        channels: C, of the latents.
        factors: how many times smaller the grid is, in time and in frequency.
        trained: whether it has parameters; else it takes the place of one that has.
        time_axis: of the latents, 1 or 2; the other one is frequency.
    """

    network: Network
    channels: int
    factors: tuple[int, int]
    trained: bool = True
    time_axis: int = 1

    def latent_shape(self, frames: int, bands: int) -> tuple[int, int, int]:
        """Shape [H, W, C] of the latents that cover so many mel frames and bands."""
        time, frequency = self.factors
        sides = -(-frames // time), bands // frequency
        return (*(sides if self.time_axis == 1 else sides[::-1]), self.channels)

    def check(self, spec: AudioSpec, seconds: float) -> None:
        """Refuses training segments that it cannot make smaller by its factors.

        Raises:
            UserError: naming the nearest length that works, or what the mel bands must
                be a multiple of.
        """
        time, frequency = self.factors
        if spec.n_mels % frequency:
            raise UserError(
                f"the audio spec has {spec.n_mels} mel bands, but the autoencoder "
                f"takes multiples of {frequency}; set config.audio.n_mels or "
                "config.audio.preset to such"
            )
        frames = spec.frames(round(seconds * spec.sample_rate))
        if frames % time:
            fitting = max(round(frames / time), 1) * time
            raise UserError(
                f"config.data.seconds is a segment of {frames} mel frames, but the "
                f"autoencoder takes multiples of {time}; set it to "
                f"{spec.samples(fitting) / spec.sample_rate:.8g}"
            )


TABLE: Table[Entry[Autoencoder]] = Table("autoencoder", __name__, of_module)
