"""Prompts of speech models: a description, and the phonemes of what is said."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems import published_tokens
from diffusion_audio.systems.conditioners import Arrays
from diffusion_audio.systems.published_tokens import PublishedTokens


class SpeechTokens:
    """Arrays of prompts and phonemes: those of `PublishedTokens`, CLAP's first.

    A `conditioners.SpeechTokenizer`. Where nothing is said, ``phonemes_mask`` is False
    throughout.

    Args:
        described: the tokenizer of descriptions.
        said: that of phonemes.
        vocabulary: how many of these the encoder knows.
        end: the phoneme that is put after the last one: in the first place whose number
            is 0, as in training. What is cut has none.
    """

    def __init__(
        self,
        described: PublishedTokens,
        said: PublishedTokenizer,
        vocabulary: int,
        end: int,
    ) -> None:
        self._described, self._said = described, said
        self._vocabulary, self._end = vocabulary, end

    def arrays(self, prompts: Sequence[str]) -> Arrays:
        """Those of descriptions alone, of a sound in which nothing is said."""
        return self._described.arrays(prompts) | self._silent(len(prompts))

    def null(self) -> Arrays:
        """Those of no prompt: an empty description's, not given."""
        return self._described.null() | self._silent(1)

    def phonemes(self, transcripts: Sequence[str]) -> list[str]:
        """The phonemes of transcripts, as `spoken` takes them."""
        return [self._said.phonemes(text) for text in transcripts]

    def spoken(self, prompts: Sequence[str], phonemes: Sequence[str]) -> Arrays:
        """Those of descriptions and of what is said in each.

        Raises:
            UserError: phonemes are none, or hold a letter that is none of the model's.
        """
        arrays = self._described.arrays(prompts)
        arrays |= published_tokens.encode("phonemes", self._said, phonemes)
        ids, mask = arrays["phonemes_tokens"], arrays["phonemes_mask"]
        for text, row, real in zip(phonemes, ids, mask, strict=True):
            if not real.any():
                raise UserError(
                    f"the transcript {shortened(repr(text))} has no phonemes; expected "
                    "words to say"
                )
            if row[real].max() >= self._vocabulary:
                raise UserError(
                    f"the transcript {shortened(repr(text))} holds what is no phoneme "
                    "of this model; expected letters of the IPA and punctuation"
                )
            (free,) = np.nonzero(row == 0)
            row[free[:1]], real[free[:1]] = self._end, True
        return arrays

    def files(self) -> dict[str, str]:
        """The tokenizers."""
        return self._described.files() | {"phonemes.json": self._said.to_json()}

    def _silent(self, count: int) -> Arrays:
        shape = (count, self._said.max_tokens)
        return {
            "phonemes_tokens": np.zeros(shape, np.int32),
            "phonemes_mask": np.zeros(shape, bool),
        }


def reader(
    clap: int, phonemes: int, vocabulary: int, end: int
) -> Callable[[Mapping[str, str]], SpeechTokens]:
    """What reads the tokenizers of a conditioner from the files that a run keeps.

    Args:
        clap: tokens of a description, at most.
        phonemes: those of a transcript.
        vocabulary: see `SpeechTokens`, as for ``end``.
        end: of a transcript.
    """

    def read(files: Mapping[str, str]) -> SpeechTokens:
        described = published_tokens.reader(clap=clap)(files)
        said = published_tokens.stored(files, "phonemes", phonemes)
        return SpeechTokens(described, said, vocabulary, end)

    return read
