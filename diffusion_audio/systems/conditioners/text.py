"""A small text encoder and its byte-level BPE tokenizer, both trained with a run."""

from collections.abc import Mapping, Sequence

from diffusion_audio.aliases import Array, Params
from diffusion_audio.data.tokenizer import BPE
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.text import TextConfig as Config
from diffusion_audio.models.text import build_text
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.conditioners import Arrays, Conditioner

FILE = "tokenizer.json"


class Tokens:
    """Token ids of prompts: ``tokens`` int32 [B, L]; no prompt is padding alone."""

    def __init__(self, bpe: BPE) -> None:
        self._bpe = bpe

    def arrays(self, prompts: Sequence[str]) -> Arrays:
        """The tokens of prompts."""
        return {"tokens": self._bpe.encode(prompts)}

    def null(self) -> Arrays:
        """Those of no prompt."""
        return self.arrays([""])

    def files(self) -> dict[str, str]:
        """The vocabulary and its merges."""
        return {FILE: self._bpe.to_json()}


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    encoder = build_text(cfg)

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        return encoder.apply(params, arrays["tokens"])

    def learn(captions: Sequence[str]) -> Tokens:
        return Tokens(BPE.train(captions, cfg.vocabulary, cfg.max_tokens))

    return Conditioner(Network(encoder.init, apply), learn, _read)


def _read(files: Mapping[str, str]) -> Tokens:
    return Tokens(BPE.from_json(files[FILE]))
