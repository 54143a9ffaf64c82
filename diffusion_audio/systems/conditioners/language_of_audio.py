"""AudioLDM 2's conditioner: a language of audio that GPT-2 speaks, and T5's tokens.

The denoiser attends to GPT-2's tokens and to T5's (Liu et al. 2024, section III-B).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import unknown
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.gpt2 import PADDINGS
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.language import build_language, builders, require_null
from diffusion_audio.systems.published_tokens import learn, reader

NEGATIVES = ("whole", "cut")
BUILDERS = builders(t5=(T5Config, build_t5))


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        clap: of CLAP's text tower, a `models.roberta.RobertaConfig`.
        t5: of T5's encoder, a `models.t5.T5Config`.
        projection: of what joins them, a `models.projection.ProjectionConfig`.
        gpt2: a `models.gpt2.GPT2Config`.
        tokens: how many GPT-2 makes.
        max_tokens: of a prompt, for T5; the original cuts at 128, diffusers at 512.
        padding: ``"independent"`` makes a prompt's tokens the same beside any others;
            ``"batch"`` has them depend on the longest of the batch, as the original and
            diffusers do: see `models.gpt2.GPT2.generate`.
        null: GPT-2's tokens where there is no prompt: ``"zeros"``, as in training and
            in the original, or ``"generated"`` from an empty text, as in diffusers.
        negative: T5's tokens of a negative prompt: ``"whole"``, or ``"cut"`` to as many
            as the longest prompt has, as diffusers does.
        trained: whether all are trained with the denoiser.
    """

    clap: Mapping[str, Any]
    t5: Mapping[str, Any]
    projection: Mapping[str, Any]
    gpt2: Mapping[str, Any]
    tokens: int = 8
    max_tokens: int = 128
    padding: str = "independent"
    null: str = "zeros"
    negative: str = "whole"
    trained: bool = False

    def __post_init__(self) -> None:
        require_null(self.null, "language_of_audio")
        if self.negative not in NEGATIVES:
            raise unknown("negative of language_of_audio", self.negative, NEGATIVES)
        if self.padding not in PADDINGS:
            raise unknown("padding of language_of_audio", self.padding, PADDINGS)


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    language = build_language(cfg, BUILDERS, "language_of_audio")

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        contexts = language.speak(
            params, arrays, tokens=cfg.tokens, padding=cfg.padding, null=cfg.null
        )
        return Condition(contexts)

    cut = ("t5",) if cfg.negative == "cut" else ()
    most = language.configs["clap"].max_tokens
    read = reader(cut=cut, clap=most, t5=cfg.max_tokens)
    network, alone = Network(language.init, apply), cfg.padding == "independent"
    return Conditioner(network, learn, read, cfg.trained, alone)
