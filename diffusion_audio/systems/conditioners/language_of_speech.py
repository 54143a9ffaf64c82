"""AudioLDM 2's conditioner for speech: how it sounds, and the phonemes that are said.

CLAP's vector is of the description, and in the place of T5's tokens are the states of
the transcript's phonemes. The denoiser attends to GPT-2's tokens alone, as many as
AudioMAE has of the whole sound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.phonemes import PhonemeConfig, build_phonemes
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.language import build_language, builders, require_null
from diffusion_audio.systems.published_tokens import learn
from diffusion_audio.systems.speech_tokens import reader

BUILDERS = builders(phonemes=(PhonemeConfig, build_phonemes))


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        clap: of CLAP's text tower, a `models.roberta.RobertaConfig`.
        phonemes: of the phoneme encoder, a `models.phonemes.PhonemeConfig`.
        projection: of what joins them, a `models.projection.ProjectionConfig`, whose
            ``positions`` are how many phonemes there are at most: every transcript is
            filled up to that, and GPT-2 counts the filling, as it did in training.
        gpt2: a `models.gpt2.GPT2Config`.
        tokens: how many GPT-2 makes.
        end: the phoneme that stands after the last one of a transcript.
        null: GPT-2's tokens where there is no prompt, see `systems.language`.
        trained: whether all are trained with the denoiser.
    """

    clap: Mapping[str, Any]
    phonemes: Mapping[str, Any]
    projection: Mapping[str, Any]
    gpt2: Mapping[str, Any]
    tokens: int = 512
    end: int = 182
    null: str = "zeros"
    trained: bool = False

    def __post_init__(self) -> None:
        require_null(self.null, "language_of_speech")


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    language = build_language(cfg, BUILDERS, "language_of_speech")
    configs = language.configs
    vocabulary, most = configs["phonemes"].vocabulary, configs["projection"].positions
    if not 0 <= cfg.end < vocabulary:
        raise UserError(
            f"language_of_speech: expected end from 0 to {vocabulary - 1}, a phoneme, "
            f"got {cfg.end}"
        )
    if most < 1:
        raise UserError(
            "language_of_speech: expected a projection with positions, 1 or more, got "
            f"{most}"
        )

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        spoken, _ = language.speak(
            params, arrays, tokens=cfg.tokens, padding="all", null=cfg.null
        )
        return Condition((spoken,))

    read = reader(configs["clap"].max_tokens, most, vocabulary, cfg.end)
    return Conditioner(Network(language.init, apply), learn, read, cfg.trained)
