"""Conditioners: from prompts to arrays on the host, and from these to a condition."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.table import Entry, Table, of_module

Arrays = dict[str, np.ndarray]
"""What a tokenizer makes of prompts, by name, [B, ...] each."""


class Tokenizer(Protocol):
    """The part of a conditioner that works on text, on the host."""

    def arrays(self, prompts: Sequence[str]) -> Arrays:
        """Arrays [B, ...] of B prompts, of the same shapes whatever they say.

        Raises:
            UserError: a prompt is too long, or no text.
        """
        ...

    def null(self) -> Arrays:
        """Arrays [1, ...] of no prompt: what guidance compares with."""
        ...

    def files(self) -> dict[str, str]:
        """All that it has learned, as text files by name, to be kept in a run."""
        ...


@runtime_checkable
class NegativeTokenizer(Tokenizer, Protocol):
    """A tokenizer of which a negative prompt may depend on the prompts beside it."""

    def negative(self, text: str, prompts: Arrays) -> Arrays:
        """Arrays [1, ...] of what guidance leads away from.

        Args:
            text: of the negative prompt.
            prompts: arrays [B, ...] of the prompts.
        """
        ...


@runtime_checkable
class SpeechTokenizer(Tokenizer, Protocol):
    """One of speech: a prompt is a description, and a transcript of what is said.

    Its ``arrays`` are those of descriptions in which nothing is said.
    """

    def phonemes(self, transcripts: Sequence[str]) -> list[str]:
        """What `spoken` takes, of transcripts in letters.

        Raises:
            UserError: what makes phonemes is not installed.
        """
        ...

    def spoken(self, prompts: Sequence[str], phonemes: Sequence[str]) -> Arrays:
        """Arrays [B, ...] of B descriptions and the phonemes that are said in each.

        Raises:
            UserError: a text is too long, empty, or none.
        """
        ...


@runtime_checkable
class LearnedTokenizer(Tokenizer, Protocol):
    """A tokenizer that was learned from the captions of a run.

    Attributes:
        learned: their words (`data.text.words`); empty where they were not kept.
    """

    learned: frozenset[str]


class Conditioner(NamedTuple):
    """A conditioner.

    Attributes:
        network: ``apply(params, arrays) -> models.condition.Condition``; what it makes
            of the null arrays is the null condition.
        learn: the tokenizer of a new run, from the captions that it is trained on; one
            that is published takes no notice of them.
        read: the tokenizer of a run, from the ``files`` that it keeps.
        trained: whether its parameters are trained with the denoiser's, or frozen.
        independent: whether what it makes of a prompt is the same beside any others.
    """

    network: Network
    learn: Callable[[Sequence[str]], Tokenizer]
    read: Callable[[Mapping[str, str]], Tokenizer]
    trained: bool = True
    independent: bool = True


TABLE: Table[Entry[Conditioner]] = Table("conditioner", __name__, of_module)
