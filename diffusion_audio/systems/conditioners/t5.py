"""T5's encoder: a prompt's tokens to attend to, as in Tango and AudioLDM with T5."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.published_tokens import learn, reader


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        encoder: a `models.t5.T5Config`.
        max_tokens: of a prompt.
        trained: whether it is trained with the denoiser; the published ones were not.
    """

    encoder: Mapping[str, Any]
    max_tokens: int = 128
    trained: bool = False


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    encoder = build_t5(of_group(T5Config, cfg.encoder, "t5: encoder"))

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        mask = arrays["t5_mask"]
        tokens = encoder.apply(params, arrays["t5_tokens"], mask)
        return Condition((Context(tokens, mask),))

    read = reader(t5=cfg.max_tokens)
    return Conditioner(Network(encoder.init, apply), learn, read, cfg.trained)
