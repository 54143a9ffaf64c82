"""A small text encoder and its byte-level BPE tokenizer, both trained with a run."""

from collections.abc import Mapping, Sequence

from diffusion_audio.aliases import Array, Params
from diffusion_audio.data.text import words
from diffusion_audio.data.tokenizer import BPE
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.text import TextConfig as Config
from diffusion_audio.models.text import build_text
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.conditioners import Arrays, Conditioner

FILE = "tokenizer.json"
WORDS = "words.txt"


class Tokens:
    """Token ids of prompts: ``tokens`` int32 [B, L]; no prompt is padding alone.

    Attributes:
        learned: the words of all captions of training; empty where they were not kept.
    """

    def __init__(self, bpe: BPE, learned: frozenset[str] = frozenset()) -> None:
        self._bpe = bpe
        self.learned = learned

    def arrays(self, prompts: Sequence[str]) -> Arrays:
        """The tokens of prompts."""
        return {"tokens": self._bpe.encode(prompts)}

    def null(self) -> Arrays:
        """Those of no prompt."""
        return self.arrays([""])

    def files(self) -> dict[str, str]:
        """The vocabulary and its merges, and the words that were learned."""
        kept = {FILE: self._bpe.to_json()}
        if self.learned:
            kept[WORDS] = "\n".join(sorted(self.learned)) + "\n"
        return kept


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    encoder = build_text(cfg)

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        return encoder.apply(params, arrays["tokens"])

    def learn(captions: Sequence[str]) -> Tokens:
        learned = frozenset(word for caption in captions for word in words(caption))
        return Tokens(BPE.train(captions, cfg.vocabulary, cfg.max_tokens), learned)

    return Conditioner(Network(encoder.init, apply), learn, _read)


def _read(files: Mapping[str, str]) -> Tokens:
    # Runs of before these were kept have none.
    learned = files[WORDS].split() if WORDS in set(files) else []
    return Tokens(BPE.from_json(files[FILE]), frozenset(learned))
