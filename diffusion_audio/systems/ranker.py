"""Ranking sounds by CLAP: which of several is nearest to its prompt.

AudioLDM and AudioLDM 2 make three sounds of a prompt and keep the nearest.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.clap_mel import ClapMel, clap_mel
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group
from diffusion_audio.systems.conditioners import Arrays


class Ranker(NamedTuple):
    """A whole CLAP. Made by `build_ranker`.

    Attributes:
        text: its text tower.
        audio: its audio tower.
        mel: how that is shown sounds.
    """

    text: Network
    audio: Network
    mel: ClapMel

    def audio_inputs(self, waves: np.ndarray, sample_rate: int) -> Arrays:
        """What the audio tower is shown: ``mel`` [B, T, F, C] and ``longer`` [B].

        Args:
            waves: float [B, N].
            sample_rate: of these; they are resampled to CLAP's own.
        """
        import soxr

        rate = self.mel.sample_rate
        seen = [
            clap_mel(self.mel, soxr.resample(wave, sample_rate, rate, quality="HQ"))
            for wave in np.asarray(waves, np.float32)
        ]
        return {
            "mel": np.stack([each.mel for each in seen]),
            "longer": np.array([each.longer for each in seen]),
        }

    def scores(
        self, params: Params, prompt: Mapping[str, Array], sounds: Mapping[str, Array]
    ) -> Array:
        """Cosines of sounds and their prompts, float32 [B].

        Args:
            params: ``text`` and ``audio``.
            prompt: ``clap_tokens`` and ``clap_mask`` [B, L].
            sounds: of `audio_inputs`.
        """
        tokens, mask = prompt["clap_tokens"], prompt["clap_mask"]
        words = self.text.apply(params["text"], tokens, mask)
        clips = self.audio.apply(params["audio"], sounds["mel"], sounds["longer"])
        return jnp.sum(words * clips, axis=-1)


def build_ranker(group: Mapping[str, Any]) -> Ranker:
    """The ranker of a config's group: settings of ``text``, ``audio`` and ``mel``."""
    return Ranker(
        build_clap_text(of_group(RobertaConfig, group["text"], "ranker: text")),
        build_htsat(of_group(HTSATConfig, group["audio"], "ranker: audio")),
        of_group(ClapMel, group["mel"], "ranker: mel"),
    )
