"""Several conditioners as one: what a denoiser is conditioned on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.data.text import words
from diffusion_audio.diffusion.noise import purpose_key
from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Condition
from diffusion_audio.settings import require_group
from diffusion_audio.systems.conditioners import (
    TABLE,
    Arrays,
    Conditioner,
    LearnedTokenizer,
    NegativeTokenizer,
    SpeechTokenizer,
    Tokenizer,
)
from diffusion_audio.systems.table import build

Prompt = dict[str, dict[str, Any]]
"""Arrays [B, ...] by conditioner and name."""

FOLDER = "conditioners"  # of a run's extras, with a folder for each in it


class Tokenizers(NamedTuple):
    """The tokenizers of all conditioners.

    Attributes:
        parts: by the conditioners' labels.
    """

    parts: dict[str, Tokenizer]

    def prompt(self, texts: Sequence[str]) -> dict[str, Arrays]:
        """Arrays [B, ...] of B prompts, by conditioner and name."""
        return {label: part.arrays(texts) for label, part in self.parts.items()}

    @property
    def of_speech(self) -> bool:
        """Whether a prompt has a transcript of what is said."""
        return any(isinstance(part, SpeechTokenizer) for part in self.parts.values())

    def spoken(
        self, texts: Sequence[str], transcripts: Sequence[str], *, phonemes: bool
    ) -> dict[str, Arrays]:
        """As `prompt`, of B prompts and what is said in each.

        Args:
            texts: B descriptions.
            transcripts: B texts.
            phonemes: these are phonemes already, and no letters.
        """
        arrays = {}
        for label, part in self.parts.items():
            if not isinstance(part, SpeechTokenizer):
                arrays[label] = part.arrays(texts)
                continue
            said = transcripts if phonemes else part.phonemes(transcripts)
            arrays[label] = part.spoken(texts, said)
        return arrays

    def null(self) -> dict[str, Arrays]:
        """Arrays [1, ...] of no prompt."""
        return {label: part.null() for label, part in self.parts.items()}

    def negative(self, text: str, prompts: Prompt) -> dict[str, Arrays]:
        """Arrays [1, ...] of a negative prompt, beside prompts of arrays [B, ...]."""
        return {
            label: part.negative(text, prompts[label])
            if isinstance(part, NegativeTokenizer)
            else part.arrays([text])
            for label, part in self.parts.items()
        }

    def unknown_words(self, texts: Sequence[str]) -> list[str]:
        """Words that no caption had of which a conditioner has learned its words.

        One that was published says nothing of its words, and none is named.
        """
        parts = self.parts.values()
        known: set[str] = set()
        known.update(*(p.learned for p in parts if isinstance(p, LearnedTokenizer)))
        every = (word for text in texts for word in words(text))
        return list(dict.fromkeys(w for w in every if known and w not in known))

    def files(self) -> dict[str, str]:
        """What a run keeps, text by path."""
        return {
            f"{FOLDER}/{label}/{name}": text
            for label, part in self.parts.items()
            for name, text in part.files().items()
        }


class Conditioning(NamedTuple):
    """All conditioners of a system.

    Their contexts follow each other in the order of the labels, and so do the parts of
    the vector.

    Attributes:
        parts: by label.
    """

    parts: dict[str, Conditioner]

    @property
    def trained(self) -> tuple[str, ...]:
        """Labels of those that are trained with the denoiser."""
        return tuple(label for label, part in self.parts.items() if part.trained)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Labels of those that are not."""
        return tuple(label for label, part in self.parts.items() if not part.trained)

    @property
    def independent(self) -> bool:
        """Whether a prompt's condition is the same beside any other prompts."""
        return all(part.independent for part in self.parts.values())

    def init(self, key: Key, labels: Sequence[str], purpose: str = "init") -> Params:
        """Fresh parameters of some, by label."""
        return {
            label: self.parts[label].network.init(
                purpose_key(key, f"{purpose} {label}")
            )
            for label in labels
        }

    def learn(self, captions: Sequence[str]) -> Tokenizers:
        """The tokenizers of a new run, from its captions."""
        return Tokenizers({k: part.learn(captions) for k, part in self.parts.items()})

    def read(self, kept: Mapping[str, str], run: str = "the run") -> Tokenizers:
        """The tokenizers of a run, from what it keeps (`runs.extras`).

        Args:
            kept: the run's extras.
            run: what messages call it.

        Raises:
            UserError: a file lacks or is damaged.
        """
        found = {}
        for label, part in self.parts.items():
            files = _Files(kept, f"{FOLDER}/{label}")
            try:
                found[label] = part.read(files)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                if isinstance(error, UserError) and not files.opened:
                    raise
                what = ", ".join(files.opened) or f"{FOLDER}/{label}"
                raise UserError(
                    f"{what} of {run} is damaged ({error}); restore it from a copy"
                ) from error
        return Tokenizers(found)

    def __call__(self, params: Params, prompt: Prompt) -> Condition:
        """The condition of prompts.

        Args:
            params: of every conditioner, by label.
            prompt: as `Tokenizers.prompt` makes it.
        """
        made = [
            part.network.apply(params[label], prompt[label])
            for label, part in self.parts.items()
        ]
        vectors = [each.vector for each in made if each.vector is not None]
        return Condition(
            tuple(context for each in made for context in each.contexts),
            _joined(vectors) if vectors else None,
        )


class _Files(Mapping[str, str]):
    """The files of one conditioner among all that a run keeps."""

    def __init__(self, kept: Mapping[str, str], folder: str) -> None:
        self._kept, self._folder = kept, folder
        self.opened: list[str] = []

    def __getitem__(self, name: str) -> str:
        text = self._kept[f"{self._folder}/{name}"]
        self.opened.append(f"{self._folder}/{name}")
        return text

    def __iter__(self) -> Any:
        prefix = f"{self._folder}/"
        return (n.removeprefix(prefix) for n in self._kept if n.startswith(prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def build_conditioning(config: Mapping[str, Any]) -> Conditioning:
    """The conditioners of a config's group ``conditioners``, by their labels.

    Raises:
        UserError: there is no such group, one is not known, or its settings cannot be.
    """
    groups = require_group(config, "conditioners")
    return Conditioning(
        {
            label: build(TABLE, groups[label], f"config.conditioners.{label}")
            for label in sorted(groups)
        }
    )


def _joined(vectors: list[Array]) -> Array:
    return vectors[0] if len(vectors) == 1 else jnp.concatenate(vectors, axis=-1)
