"""Where clips come from: the protocol of a source, and drawing clips of one."""

import logging
from typing import Any, Protocol

import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError

_log = logging.getLogger(__name__)

Clip = dict[str, Any]
"""``audio`` float32 [N] mono, ``caption`` str, ``attributes`` dict[str, str], ``id``
str. A cache of latents has ``moments`` float32 [H, W, 2C] in place of ``audio``."""


class Source(Protocol):
    """A finite set of clips, each read when it is asked for, from any thread."""

    name: str
    attributes: dict[str, tuple[str, ...]]
    """The values that each attribute of its clips can take; empty without any."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Clip:
        """The whole clip."""
        ...

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """The clip as training sees it: ``samples`` long, choices made by ``rng``.

        Raises:
            AudioFileError: if the file is bad; the pipeline counts and skips it.
        """
        ...

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its audio; ``rng`` chooses if it has several captions."""
        ...

    def captions(self) -> list[str]:
        """Every caption, without reading any audio; what a tokenizer trains on."""
        ...

    def fingerprint(self) -> str:
        """A short hash that changes when the set does."""
        ...

    def inventory(self) -> dict[str, str]:
        """A short hash of what each clip holds, by its id.

        Empty for a set that its name and version say all about.
        """
        ...


def crop_or_pad(wave: np.ndarray, samples: int, position: float) -> np.ndarray:
    """Crop a wave [N] at ``position`` in [0, 1), or pad it with zeros at its end."""
    if len(wave) < samples:
        return np.pad(wave, (0, samples - len(wave)))
    start = int(position * (len(wave) - samples + 1))
    return wave[start : start + samples]


def evenly(total: int, count: int) -> np.ndarray:
    """Places int64 [n] spread evenly over ``total``: ``count``, or all there are."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def drawn_evenly(source: Source, count: int, samples: int, seed: int) -> list[Clip]:
    """Good clips spread evenly over a source, each cropped by its own seed.

    A bad clip is named in a warning, and the nearest good one that is not drawn itself
    takes its place.

    Args:
        source: where from.
        count: how many; at most all of the source, or all that are good.
        samples: length of a clip.
        seed: of the crops.

    Raises:
        UserError: no clip is good.
    """
    total = len(source)
    chosen = evenly(total, count).tolist()
    free = set(range(total)) - set(chosen)
    drawn: dict[int, Clip] = {}
    problem: AudioFileError | None = None
    for wanted in chosen:
        index: int | None = wanted
        while index is not None:
            try:
                drawn[index] = source.draw(
                    index, samples, np.random.default_rng([seed, index])
                )
                break
            except AudioFileError as error:
                problem = error
                _log.warning("skipping a bad clip of %s: %s", source.name, error)
            index = min(free, key=lambda other: abs(other - wanted), default=None)
            free.discard(index)
    if not drawn:
        raise UserError(
            f"no clip of {source.name} is good"
            + (f"; the last: {problem}; `data check` names them all" if problem else "")
        )
    return [drawn[index] for index in sorted(drawn)]
