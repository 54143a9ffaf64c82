"""A byte-level BPE tokenizer, trained on the captions of a set."""

from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from diffusion_audio.data.text import as_texts, clean
from diffusion_audio.errors import UserError

PADDING = "<pad>"  # id 0
_BYTES = 256
_WORD = r" ?[\p{L}\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+"


class BPE:
    """Text to token ids; lower case, any Unicode text, no unknown token.

    Attributes:
        max_tokens: L, the length every caption is padded to.
    """

    def __init__(self, bpe: tokenizers.Tokenizer):
        if bpe.padding is None or bpe.token_to_id(PADDING) != 0:
            raise UserError("not a tokenizer of ours: it has no padding with id 0")
        self._bpe = bpe
        self.max_tokens: int = bpe.padding["length"]

    @classmethod
    def train(
        cls, captions: Iterable[str], size: int = 512, max_tokens: int = 32
    ) -> "BPE":
        """Learn the merges from captions; the same captions give the same tokenizer.

        Args:
            captions: the training captions; their order does not matter.
            size: of the vocabulary at most, padding and 256 bytes included.
            max_tokens: L, the length captions are padded to.
        """
        if size <= _BYTES:
            raise UserError(
                f"a byte-level vocabulary holds more than {_BYTES} tokens; got {size}"
            )
        bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
        # The space before the first word makes it the same token as inside a text;
        # letters and digits stay together, so that C4 can be one token.
        bpe.normalizer = normalizers.Sequence(
            [
                normalizers.NFC(),
                normalizers.Lowercase(),
                normalizers.Strip(),
                normalizers.Prepend(" "),
            ]
        )
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(_WORD), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[PADDING],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        cleaned = sorted(map(clean, _captions(captions)))
        bpe.train_from_iterator(cleaned, trainer)
        bpe.enable_padding(pad_id=0, pad_token=PADDING, length=max_tokens)
        return cls(bpe)

    @property
    def size(self) -> int:
        """Number of tokens, padding included."""
        return self._bpe.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Token ids int32 [B, L], 0 where a text has ended; "" is all zeros.

        Texts are cleaned first, as captions of training are: see `data.text`.

        Raises:
            UserError: for a text of more than ``max_tokens`` tokens, or with a
                surrogate, which is no character; for a string in place of a list.
        """
        listed = _captions(texts)
        ids = np.zeros((len(listed), self.max_tokens), np.int32)
        for row, text in zip(ids, listed, strict=True):
            # A text in which "<pad>" is written must not end there.
            tokens = self._bpe.encode(clean(text).replace(PADDING, "< pad >")).ids
            if len(tokens) > self.max_tokens:
                shown = text if len(text) <= 60 else text[:57] + "..."
                raise UserError(
                    f"a caption of {len(tokens)} tokens, {shown!r}, is longer than "
                    f"the {self.max_tokens} this tokenizer allows: shorten it, or "
                    "train with a larger max_tokens (config.conditioners)"
                )
            row[:] = tokens
        return ids

    def to_json(self) -> str:
        """Everything, as text to be stored beside a model."""
        return self._bpe.to_str()

    @classmethod
    def from_json(cls, text: str) -> "BPE":
        """The tokenizer that ``to_json`` wrote."""
        try:
            bpe = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"not a stored tokenizer: {error}") from error
        return cls(bpe)


def _captions(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise UserError(
            f"expected a list of captions, got the text {texts[:60]!r}: put it in a "
            "list, or its letters would be taken for captions"
        )
    listed = list(texts)
    return as_texts(listed, "caption") if listed else []
