"""Where clips come from: the protocol of a source, and opening one by its name."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError, unknown

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


def fit(wave: np.ndarray, samples: int, position: float) -> np.ndarray:
    """Crop a wave [N] at ``position`` in [0, 1), or pad it with zeros at its end."""
    if len(wave) < samples:
        return np.pad(wave, (0, samples - len(wave)))
    start = int(position * (len(wave) - samples + 1))
    return wave[start : start + samples]


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
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    free = set(range(total)) - set(chosen.tolist())
    drawn: dict[int, Clip] = {}
    problem: AudioFileError | None = None
    for wanted in chosen.tolist():
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


def open_source(
    spec: str,
    split: str = "train",
    sample_rate: int = 16_000,
    *,
    data_dir: str | Path | None = None,
) -> Source:
    """Open a source by name.

    Args:
        spec: ``"tones"``, ``"folder:DIR"`` or ``"tfds:NAME[/CONFIG]"``.
        split: ``"train"``, ``"validation"``, or another that the source has.
        sample_rate: the rate its audio is given at, Hz.
        data_dir: where TFDS keeps prepared sets; its own default if None.
    """
    kind, rest = parse(spec)
    # Each kind imports its own library only when it is asked for.
    if kind == "tones":
        from diffusion_audio.data import tones_tfds

        return tones_tfds.open_tones(split, sample_rate, data_dir=data_dir)
    if kind == "folder":
        from diffusion_audio.data import folder

        return folder.open_folder(rest, split, sample_rate)
    from diffusion_audio.data import public

    return public.open_public(rest, split, sample_rate, data_dir=data_dir)


def prepare(spec: str, *, data_dir: str | Path | None = None) -> dict[str, int]:
    """Make a source ready to be opened; the number of clips of each split.

    Tones are synthesised, a public set is downloaded, a folder has only its metadata
    read. The arguments are those of ``open_source``.
    """
    kind, rest = parse(spec)
    if kind == "tones":
        from diffusion_audio.data import tones_tfds

        splits = tones_tfds.prepare_tones(data_dir).info.splits
        return {name: info.num_examples for name, info in splits.items()}
    if kind == "folder":
        from diffusion_audio.data.listing import list_folder

        return dict(Counter(entry.split for entry in list_folder(rest).entries))
    from diffusion_audio.data import public

    return public.prepare_public(rest, data_dir)


def split_names(spec: str, *, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits that a source can be opened with; arguments as ``open_source``."""
    kind, rest = parse(spec)
    if kind == "tones":
        from diffusion_audio.data import tones

        return tuple(tones.SPLITS)
    if kind == "folder":
        from diffusion_audio.data.listing import list_folder

        return tuple(sorted({entry.split for entry in list_folder(rest).entries}))
    from diffusion_audio.data import public

    return public.split_names(rest, data_dir)


def parse(spec: str) -> tuple[str, str]:
    """The kind of a source and what it names.

    Raises:
        UserError: if there is no such kind, or it lacks a name.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("tones", "folder", "tfds") or (kind == "tones" and rest):
        raise unknown("data source", spec, ("tones", "folder:DIR", "tfds:NAME"))
    if kind != "tones" and not rest:
        raise UserError(f"data source {spec!r} names nothing after the colon")
    return kind, os.path.expanduser(rest) if kind == "folder" else rest
