"""The tokenizers of a run, and the prompts of its evaluations."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from diffusion_audio.data.source import Clip, Source
from diffusion_audio.data.text import as_texts
from diffusion_audio.errors import UserError
from diffusion_audio.systems.conditioning import Conditioning, Prompt, Tokenizers
from diffusion_audio.training.task import Data


@dataclasses.dataclass(frozen=True)
class ListenConfig:
    """The sounds of an evaluation: always of the same prompts and noise.

    Attributes:
        prompts: captions to make sounds of.
        captions: how many of the evaluation split's, where there are no prompts.
    """

    prompts: tuple[str, ...] = ()
    captions: int = 0


@dataclasses.dataclass(frozen=True)
class Prompts:
    """The tokenizers of a run at work. Made by `load_or_create`.

    Attributes:
        tokenizers: of the conditioners.
        null: arrays [1, ...] of no prompt.
        listened: arrays of the prompts that evaluations make sounds of.
        count: how many these are.
    """

    tokenizers: Tokenizers = dataclasses.field(default_factory=lambda: Tokenizers({}))
    null: Prompt = dataclasses.field(default_factory=dict)
    listened: Prompt = dataclasses.field(default_factory=dict)
    count: int = 0

    def inputs(self, clips: Sequence[Clip]) -> dict[str, Any]:
        """What a batch holds of its clips: ``prompt``, arrays of their captions."""
        return {"prompt": self.tokenizers.prompt([clip["caption"] for clip in clips])}

    @property
    def files(self) -> Mapping[str, str]:
        """What the run keeps of it."""
        return self.tokenizers.files()


def load_or_create(
    conditioning: Conditioning, listen: ListenConfig, data: Data
) -> Prompts:
    """The tokenizers of the run that goes on, else those of a new one.

    Every caption is tried: one too long is found now, not hours later.

    Raises:
        UserError: there are no captions to learn from, one is too long, what the run
            kept of its tokenizers is gone or damaged, or they are those of speech.
    """
    if not conditioning.parts:  # unconditional: sounds, but of no prompts
        return Prompts(count=len(_listened(listen, data.held)))
    captions = data.train.captions()
    _require_captions(captions, data.train.name)
    if data.kept is None:
        tokenizers = conditioning.learn(captions)
    else:
        tokenizers = conditioning.read(data.kept)
    if tokenizers.of_speech:
        raise UserError(
            f"{data.train.name} has captions and no transcripts, so nothing is "
            "trained on it with conditioners of speech; give others with "
            "--config.components.conditioners"
        )
    prompts = _listened(listen, data.held)
    for text in (*captions, *data.held.captions(), *prompts):
        tokenizers.prompt([text])
    listened = tokenizers.prompt(prompts) if prompts else {}
    return Prompts(tokenizers, tokenizers.null(), listened, len(prompts))


def _require_captions(captions: Sequence[str], name: str) -> None:
    empty = sum(not caption for caption in captions)
    if empty == len(captions):
        raise UserError(
            f"{name} has no captions, and text to audio learns from them: write "
            f"them into a metadata.csv (columns file_name, caption); `data check` says "
            "what is read of a folder"
        )
    if empty:
        logging.warning("%d of %d captions of %s are empty", empty, len(captions), name)


def _listened(listen: ListenConfig, held: Source) -> list[str]:
    """The prompts of evaluations: the config's own, else captions held out."""
    if listen.prompts:
        return as_texts(listen.prompts)
    captions = list(dict.fromkeys(filter(None, held.captions())))
    last, count = len(captions) - 1, min(listen.captions, len(captions))
    return [captions[i * last // max(1, count - 1)] for i in range(count)]
