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
from diffusion_audio.data.listing import Entry, list_folder
from diffusion_audio.data.names import Fault
from diffusion_audio.data.open import open_source, parse, split_names
from diffusion_audio.data.source import Source
from diffusion_audio.data.splits import in_order
from diffusion_audio.errors import shortened

SILENT = 1e-4  # peak, full scale 1: 80 dB below
FULL_SCALE = 0.999
CLIPPED_RUN = 4  # samples at full scale in a row: no recorded wave stays there


class Finding(NamedTuple):
    """One bad clip.

    Attributes:
        file: its name, below the folder or within the set.
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"``, ``"silent"``, ``"clipped"``,
            ``"duplicate"`` (the same audio in another split) or ``"metadata"`` (of a
            line of it).
        detail: what is wrong, in words.
    """

    file: str
    kind: str
    detail: str


class Report(NamedTuple):
    """What a check found.

    Attributes:
        clips: how many of each split.
        captions: how many of each split that has any.
        uncaptioned: how many clips have none.
        findings: what is bad.
        notes: how a folder was understood, and what of it is not used, a line each.
    """

    clips: dict[str, int]
    captions: dict[str, int]
    uncaptioned: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind."""
        return dict(Counter(finding.kind for finding in self.findings))


class _Clip(NamedTuple):
    name: str
    split: str
    captions: int
    pieces: Callable[[], Iterable[np.ndarray]]
    fault: Fault | None = None


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
    findings: list[Finding] = []
    notes: tuple[str, ...] = ()
    kind, place = parse(spec)
    if kind == "folder":
        listing = list_folder(place)
        clips = [*map(_clip_of_entry, listing.entries)]
        findings += [Finding(name, *fault) for name, fault in listing.faults.items()]
        notes = (*listing.taken, *(f"not used: {line}" for line in listing.unused))
    else:
        clips = [*_clips_of_set(spec, data_dir)]
    first: dict[str, _Clip] = {}
    with ThreadPoolExecutor() as pool:
        for done, (clip, decoded) in enumerate(
            zip(clips, pool.map(_listen, clips), strict=True), start=1
        ):
            if decoded.problem:
                findings.append(Finding(clip.name, *decoded.problem))
            elif (other := first.setdefault(decoded.digest, clip)).split != clip.split:
                detail = f"{clip.split} has the audio of {other.name} in {other.split}"
                findings.append(Finding(clip.name, "duplicate", detail))
            if progress:
                progress(done, len(clips))
    counts = Counter(clip.split for clip in clips)
    captions: Counter[str] = Counter()
    for clip in clips:
        captions[clip.split] += clip.captions
    splits = sorted(counts, key=in_order)
    return Report(
        {split: counts[split] for split in splits},
        {split: captions[split] for split in splits if captions[split]},
        sum(not clip.captions for clip in clips),
        tuple(findings),
        notes,
    )


def _clip_of_entry(entry: Entry) -> _Clip:
    def pieces() -> Iterator[np.ndarray]:
        yield from files.blocks(entry.path, files.probe(entry.path).sample_rate)

    captions = sum(map(bool, entry.captions))
    return _Clip(shortened(entry.name), entry.split, captions, pieces, entry.fault)


def _clips_of_set(spec: str, data_dir: str | Path | None) -> Iterator[_Clip]:
    for split in split_names(spec, data_dir=data_dir):
        source = open_source(spec, split, data_dir=data_dir)
        for index in range(len(source)):
            clip = source.describe(index)
            captions = int(bool(clip["caption"]))
            yield _Clip(clip["id"], split, captions, _row_pieces(source, index))


def _row_pieces(source: Source, index: int) -> Callable[[], list[np.ndarray]]:
    return lambda: [source[index]["audio"]]


def _listen(clip: _Clip) -> _Heard:
    """Decode a clip; what it sounds like, as a hash, and what is wrong with it."""
    if clip.fault:
        return _Heard("", clip.fault)
    hashed = hashlib.sha256()
    peak, clipped = 0.0, 0
    try:
        for wave in clip.pieces():
            # 16 bits, so that a WAV and the FLAC made from it are the same.
            hashed.update(np.round(wave * 32767).astype("<i4").tobytes())
            peak = max(peak, float(np.abs(wave).max(initial=0.0)))
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
