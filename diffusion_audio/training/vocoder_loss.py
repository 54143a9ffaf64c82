"""The generator's losses put together: which there are, and what they weigh."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Metrics
from diffusion_audio.audio.mel import full_band
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.training.gan_losses import (
    mel_loss,
    multiscale_mel_loss,
    soft_mel_loss,
)

TERMS = ("mel", "stft", "features", "adversarial")
MEL_DISTANCES = ("l1", "soft", "multiscale")


@dataclasses.dataclass(frozen=True)
class VocoderLossConfig:
    """The generator's losses and their weights; one of weight 0 is not computed.

    Attributes:
        mel_distance: ``l1``, the paper's, of full-band mels down to its floor;
            ``soft``, `soft_mel_loss` with the floor of the generator's input; or
            ``multiscale``, of several resolutions, to be weighed less (DAC: 15).
        mel: weight of the mel distance.
        stft: of the multi-resolution STFT distance, absent from HiFi-GAN (Yamamoto et
            al. 2020; in UnivNet, Jang et al. 2021, it takes the mel's place). Its
            spectral convergence is that of the batch, under pmap of each device's part.
        features: of feature matching.
        adversarial: of the LSGAN term.
        discriminator_start: updates before it train the generator on the distances
            alone, and the discriminators not at all.
    """

    mel_distance: str = "l1"
    mel: float = 45.0
    stft: float = 0.0
    features: float = 2.0
    adversarial: float = 1.0
    discriminator_start: int = 0

    def __post_init__(self) -> None:
        if self.mel_distance not in MEL_DISTANCES:
            raise unknown("mel distance", self.mel_distance, MEL_DISTANCES)
        if not (self.mel or self.stft or self.uses_discriminators):
            raise UserError(
                "every loss has weight 0; set one of config.loss.mel, stft, features "
                "and adversarial"
            )
        if self.discriminator_start and not (self.mel or self.stft):
            raise UserError(
                "nothing would be trained before config.loss.discriminator_start "
                f"{self.discriminator_start}: mel and stft have weight 0; set it to 0"
            )

    @property
    def uses_discriminators(self) -> bool:
        """Whether discriminators take part at all."""
        return bool(self.features or self.adversarial)

    def distances(self, spec: AudioSpec) -> dict[str, Callable[[Array, Array], Array]]:
        """The distances (real, fake) of waveforms that have a weight, by its name."""
        known: dict[str, Callable[[Array, Array], Array]] = {
            "mel": self._mel_distance(spec),
            "stft": partial(multi_resolution_stft, together=True),
        }
        return {name: known[name] for name in known if getattr(self, name)}

    def _mel_distance(self, spec: AudioSpec) -> Callable[[Array, Array], Array]:
        if self.mel_distance == "l1":
            return partial(mel_loss, full_band(spec))
        if self.mel_distance == "soft":
            return partial(soft_mel_loss, spec)
        return partial(multiscale_mel_loss, spec.sample_rate)


def weighted(weights: VocoderLossConfig, terms: Metrics) -> Array:
    """The sum of those loss terms that there are."""
    return sum(
        (getattr(weights, name) * terms[name] for name in TERMS if name in terms),
        jnp.zeros(()),
    )
