"""Prompts for published encoders: token ids and masks of one or several tokenizers."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from absl import logging

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems.conditioners import Arrays


class PublishedTokens:
    """Arrays of prompts: ``NAME_tokens`` int32 [B, L], ``NAME_mask`` bool [B, L].

    And ``given`` bool [B], False where there is no prompt: what a system puts there
    need not be what its encoders make of an empty text.

    Args:
        tokenizers: by the names of what they are for.
        cut: names of those that have no more tokens of a negative prompt than of the
            prompts.
    """

    def __init__(
        self,
        tokenizers: Mapping[str, PublishedTokenizer],
        cut: Collection[str] = (),
    ) -> None:
        self._tokenizers = dict(tokenizers)
        self._cut = tuple(cut)

    def arrays(self, prompts: Sequence[str]) -> Arrays:
        """The tokens of prompts; of a long one the first, which is said."""
        return self._arrays(prompts, {})

    def negative(self, text: str, prompts: Arrays) -> Arrays:
        """See `conditioners.NegativeTokenizer`."""
        most = {n: int(prompts[f"{n}_mask"].sum(axis=-1).max()) for n in self._cut}
        return self._arrays([text], most)

    def _arrays(self, prompts: Sequence[str], most: Mapping[str, int]) -> Arrays:
        """The tokens of prompts, of some tokenizers no more than so many."""
        arrays: Arrays = {"given": np.ones(len(prompts), bool)}
        for name, tokenizer in self._tokenizers.items():
            arrays |= encode(name, tokenizer, prompts, most.get(name))
        return arrays

    def null(self) -> Arrays:
        """Those of no prompt: an empty text's, not given."""
        return self.arrays([""]) | {"given": np.zeros(1, bool)}

    def files(self) -> dict[str, str]:
        """The tokenizers."""
        return {f"{n}.json": each.to_json() for n, each in self._tokenizers.items()}


def encode(
    name: str,
    tokenizer: PublishedTokenizer,
    texts: Sequence[str],
    most: int | None = None,
) -> Arrays:
    """``NAME_tokens`` and ``NAME_mask`` of texts; what is cut is said.

    Args:
        name: of the arrays.
        tokenizer: of the texts.
        texts: to encode.
        most: tokens of a text; None for as many as the tokenizer makes.
    """
    encoded = tokenizer.encode(texts, most)
    long = [text for text, n in zip(texts, encoded.cut, strict=True) if n]
    if long:
        logging.warning(
            "%d of %d prompts cut to the %d tokens that %s takes, such as %s",
            len(long),
            len(texts),
            tokenizer.max_tokens if most is None else min(tokenizer.max_tokens, most),
            name,
            shortened(repr(long[0])),
        )
    return {f"{name}_tokens": encoded.ids, f"{name}_mask": encoded.mask}


def stored(files: Mapping[str, str], name: str, most: int) -> PublishedTokenizer:
    """A tokenizer that a run keeps, which makes ``most`` tokens or fewer of a text."""
    tokenizer = PublishedTokenizer.from_json(files[f"{name}.json"])
    return dataclasses.replace(tokenizer, max_tokens=min(most, tokenizer.max_tokens))


def reader(
    *, cut: Collection[str] = (), **lengths: int
) -> Callable[[Mapping[str, str]], PublishedTokens]:
    """What reads the tokenizers of a conditioner from the files that a run keeps.

    Args:
        cut: of `PublishedTokens`.
        **lengths: how many tokens each makes of a prompt, by the tokenizers' names;
            fewer where a tokenizer itself says so.
    """

    def read(files: Mapping[str, str]) -> PublishedTokens:
        found = {name: stored(files, name, most) for name, most in lengths.items()}
        return PublishedTokens(found, cut)

    return read


def learn(captions: Sequence[str]) -> PublishedTokens:
    """Refuses: a published tokenizer is not learned from captions.

    Raises:
        UserError: always.
    """
    del captions
    raise UserError(
        "the config's conditioners are published ones, whose tokenizers come with "
        "their weights: give --config.components.conditioners=MODEL (a hub id, a "
        "folder or a run), or take the preset `scratch`, which trains a text encoder"
    )
