"""Checks of a whole set before a run starts: every bad clip is named, with a reason."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion_audio.audio import files
from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data.source import Source, open_source, split_names

SILENT = 1e-4  # peak, full scale 1: 80 dB below
FULL_SCALE = 0.999
CLIPPED_RUN = 4  # samples at full scale in a row: no recorded wave stays there
_PIECE = 60.0  # s decoded at a time: memory does not follow the length of a file


class Finding(NamedTuple):
    """One bad clip.

    Attributes:
        file: its name, below the folder or within the set.
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"``, ``"silent"``, ``"clipped"``
            or ``"duplicate"`` (the same audio in another split).
        detail: what is wrong, in words.
    """

    file: str
    kind: str
    detail: str


class Report(NamedTuple):
    """What a check found: how many clips of each split, and those that are bad."""

    clips: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind."""
        return dict(Counter(finding.kind for finding in self.findings))


class _Clip(NamedTuple):
    name: str
    split: str
    pieces: Callable[[], Iterable[np.ndarray]]


class _Heard(NamedTuple):
    digest: str
    problem: tuple[str, str] | None


def check(
    spec: str,
    *,
    data_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Decode every clip of every split and name the bad ones.

    Args:
        spec: as for ``open_source``.
        data_dir: as for ``open_source``.
        progress: called with (clips done, clips in all) after each clip.

    Raises:
        UserError: if the source cannot be listed at all (no folder, a mistake in its
            metadata).
    """
    clips = list(_clips(spec, data_dir))
    findings: list[Finding] = []
    first: dict[str, _Clip] = {}
    with ThreadPoolExecutor() as pool:
        for done, (clip, heard) in enumerate(
            zip(clips, pool.map(_listen, clips), strict=True), start=1
        ):
            if heard.problem:
                findings.append(Finding(clip.name, *heard.problem))
            elif (other := first.setdefault(heard.digest, clip)).split != clip.split:
                detail = f"{clip.split} has the audio of {other.name} in {other.split}"
                findings.append(Finding(clip.name, "duplicate", detail))
            if progress:
                progress(done, len(clips))
    return Report(dict(Counter(clip.split for clip in clips)), tuple(findings))


def _clips(spec: str, data_dir: str | Path | None) -> Iterator[_Clip]:
    if spec.startswith("folder:"):
        from diffusion_audio.data import folder

        for entry in folder.list_entries(spec.removeprefix("folder:")):
            yield _Clip(entry.name, entry.split, _file_pieces(entry.path))
        return
    for split in split_names(spec, data_dir=data_dir):
        source = open_source(spec, split, data_dir=data_dir)
        for index in range(len(source)):
            name = source.describe(index)["id"]
            yield _Clip(name, split, _row_pieces(source, index))


def _file_pieces(path: Path) -> Callable[[], Iterator[np.ndarray]]:
    def pieces() -> Iterator[np.ndarray]:
        info = files.probe(path)
        offset = 0.0
        while offset < info.seconds:
            yield files.read(path, info.sample_rate, offset=offset, max_seconds=_PIECE)
            offset += _PIECE

    return pieces


def _row_pieces(source: Source, index: int) -> Callable[[], list[np.ndarray]]:
    return lambda: [source[index]["audio"]]


def _listen(clip: _Clip) -> _Heard:
    """Decode a clip; what it sounds like, as a hash, and what is wrong with it."""
    hashed = hashlib.sha256()
    peak, clipped = 0.0, 0
    try:
        for wave in clip.pieces():
            # 16 bits, so that a WAV and the FLAC made from it are the same.
            hashed.update(np.round(wave * 32767).astype("<i4").tobytes())
            peak = max(peak, float(np.abs(wave).max()))
            clipped += _clipped(wave)
    except AudioFileError as error:
        return _Heard("", (error.kind, str(error)))
    problem = None
    if peak < SILENT:
        problem = ("silent", f"its peak is {peak:.1g} of full scale")
    elif clipped:
        problem = ("clipped", f"{clipped} samples in runs at full scale")
    return _Heard(hashed.hexdigest(), problem)


def _clipped(wave: np.ndarray) -> int:
    """Samples in runs of ``CLIPPED_RUN`` or more at full scale, of one sign."""
    total = 0
    for loud in (wave >= FULL_SCALE, wave <= -FULL_SCALE):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]])))
        runs = edges[1::2] - edges[::2]
        total += int(runs[runs >= CLIPPED_RUN].sum())
    return total
