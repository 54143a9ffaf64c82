"""Tokenizers of published text encoders: from their files, by the tokenizers library.

Token ids are those of transformers' classes with ``padding="max_length"`` and
``truncation=True``: RobertaTokenizer (CLAP), T5Tokenizer, CLIPTokenizer, VitsTokenizer.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.pretrained import phoneme_tokens, tokenizer_files, tokenizer_kinds
from diffusion_audio.pretrained.tokenizer_files import (
    CONFIG,
    MERGES,
    TOKENIZER,
    VOCABULARY,
)
from diffusion_audio.pretrained.tokenizer_kinds import KINDS, refusing

PHONEMES = "vits"
SHORTEST = 3  # a start, an end, and something between


class Encoded(NamedTuple):
    """Texts as tokens.

    Attributes:
        ids: int32 [B, L], those of padding after the end of a text.
        mask: bool [B, L], True for the tokens of a text, its ends among them.
        cut: how many tokens of each text were too many.
    """

    ids: np.ndarray
    mask: np.ndarray
    cut: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class PublishedTokenizer:
    """A tokenizer of others.

    Attributes:
        kind: ``"roberta"``, ``"t5"``, ``"clip"`` or ``"vits"``, which takes phonemes.
        max_tokens: L, the length that every text is cut and padded to.
        config: the texts of its special tokens and its settings, as
            tokenizer_config.json has them.
        content: the text of its tokenizer.json; of its vocab.json for phonemes.
    """

    kind: str
    max_tokens: int
    config: Mapping[str, Any]
    content: str

    def __post_init__(self) -> None:
        if self.max_tokens < SHORTEST:
            raise UserError(
                f"a text of {self.max_tokens} tokens holds no words: expected "
                f"max_tokens of at least {SHORTEST}"
            )

    @classmethod
    def read(
        cls, folder: Path, kind: str, max_tokens: int | None = None
    ) -> "PublishedTokenizer":
        """The tokenizer whose files lie in a folder.

        Args:
            folder: with tokenizer.json, or vocab.json and merges.txt, or spiece.model;
                and with tokenizer_config.json and special_tokens_map.json, if any.
            kind: one of those above.
            max_tokens: L; what the encoder was trained with where None (512 of
                RoBERTa, 128 of T5, 77 of CLIP, 310 of VITS). The folder's
                ``model_max_length`` if that is less.

        Raises:
            UserError: a file is missing, damaged, too large, asks for code of its own
                or is of another kind.
        """
        folder = Path(folder)
        if kind == PHONEMES:
            said = tokenizer_files.read_config(folder, phoneme_tokens.CLASSES)
            content, config = phoneme_tokens.read(folder, said)
            usual = phoneme_tokens.MAX_TOKENS
        elif kind in KINDS:
            said = tokenizer_files.read_config(folder, KINDS[kind].classes)
            content, special = tokenizer_kinds.read(folder, kind, said)
            config = {name: token.content for name, token in special.named.items()}
            config |= {
                name: said[name]
                for name in ("add_prefix_space", "extra_ids")
                if name in said
            }
            usual = KINDS[kind].max_tokens
        else:
            raise unknown("kind of tokenizer", kind, (*KINDS, PHONEMES))
        most, limit = max_tokens or usual, said.get("model_max_length")
        most = min(most, limit) if type(limit) is int else most
        return cls(kind, most, config, content)

    def encode(self, texts: Sequence[str], most: int | None = None) -> Encoded:
        """Tokens of texts, each cut at the end where it is too long.

        Args:
            texts: B of them.
            most: tokens of a text, its ends among them, if that is fewer than L.

        Raises:
            UserError: a text holds a surrogate, which is no character.
        """
        ids = np.full((len(texts), self.max_tokens), self._padding, np.int32)
        mask = np.zeros(ids.shape, bool)
        cut = []
        for i, text in enumerate(texts):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise UserError(
                    f"the text {text[:60]!r} is not valid Unicode at character "
                    f"{error.start + 1}"
                ) from error
            tokens, more = self._tokens(text, most)
            ids[i, : len(tokens)], mask[i, : len(tokens)] = tokens, True
            cut.append(more)
        return Encoded(ids, mask, tuple(cut))

    def phonemes(self, text: str) -> str:
        """What `encode` takes of a text in letters: its phonemes, if it is of these.

        Raises:
            UserError: eSpeak NG is needed, and not installed.
        """
        if self.kind != PHONEMES:
            return text
        return phoneme_tokens.phonemes(text, self._vocabulary, self.config)

    def to_json(self) -> str:
        """All of it as one text, to be kept in a run."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "PublishedTokenizer":
        """The tokenizer that `to_json` wrote.

        Raises:
            UserError: the text is not of it.
        """
        with refusing("not a stored tokenizer"):
            tokenizer = cls(**json.loads(text))
            tokenizer.encode([""])
        return tokenizer

    def files(self) -> dict[str, str]:
        """The files from which transformers reads it, texts by names."""
        kind = KINDS.get(self.kind)
        classes = phoneme_tokens.CLASSES if kind is None else kind.classes
        settings = {name: x for name, x in self.config.items() if name != "split"}
        settings |= {"tokenizer_class": classes[0], "model_max_length": self.max_tokens}
        files = {CONFIG: json.dumps(settings, ensure_ascii=False, indent=2) + "\n"}
        if kind is None:
            return files | {VOCABULARY: self.content}
        files[TOKENIZER] = self.content
        if kind.model == "BPE":
            # Programs from before transformers 5 have a CLIP that reads only these.
            model = json.loads(self.content)["model"]
            files[VOCABULARY] = json.dumps(model["vocab"], ensure_ascii=False)
            lines = ["#version: 0.2", *map(" ".join, model["merges"])]
            files[MERGES] = "\n".join(lines) + "\n"
        return files

    @functools.cached_property
    def size(self) -> int:
        """How many token numbers it may give: one more than the largest."""
        return 1 + max(self._numbers.values())

    @property
    def _numbers(self) -> Mapping[str, int]:
        """Token numbers by token."""
        if self.kind == PHONEMES:
            return self._vocabulary
        numbers: dict[str, int] = self._tokenizer.get_vocab()
        return numbers

    @functools.cached_property
    def _vocabulary(self) -> dict[str, int]:
        return json.loads(self.content)

    @functools.cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return self._cutting(self.max_tokens)

    def _cutting(self, most: int) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer.from_str(self.content)
        tokenizer.enable_truncation(most)
        return tokenizer

    @functools.cached_property
    def _padding(self) -> int:
        return self._numbers[self.config["pad_token"]]

    def _tokens(self, text: str, most: int | None) -> tuple[list[int], int]:
        """Token ids, no more than L and that many, and how many were cut."""
        most = self.max_tokens if most is None else min(most, self.max_tokens)
        if self.kind == PHONEMES:
            ids = phoneme_tokens.encode(text, self._vocabulary, self.config)
            return ids[:most], max(0, len(ids) - most)
        fewer = most < self.max_tokens
        with refusing("the tokenizer is damaged; fetch its files again"):
            tokenizer = self._cutting(most) if fewer else self._tokenizer
            encoding = tokenizer.encode(text)
        ends = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        return encoding.ids, sum(len(x.ids) - ends for x in encoding.overflowing)
