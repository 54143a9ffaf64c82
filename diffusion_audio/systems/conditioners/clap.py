"""CLAP's text tower: a vector of a prompt, in the space that it shares with sounds.

AudioLDM (Liu et al. 2023) joins it to the time embedding; AudioLDM 2's 48 kHz model
does so too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.published_tokens import learn, reader


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        text: of the tower, a `models.roberta.RobertaConfig`.
        trained: whether it is trained with the denoiser; the published ones were not.
    """

    text: Mapping[str, Any]
    trained: bool = False


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    text = of_group(RobertaConfig, cfg.text, "clap: text")
    tower = build_clap_text(text)

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        vector = tower.apply(params, arrays["clap_tokens"], arrays["clap_mask"])
        return Condition(vector=vector)

    read = reader(clap=text.max_tokens)
    return Conditioner(Network(tower.init, apply), learn, read, cfg.trained)
