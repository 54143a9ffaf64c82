"""Checks of a whole set before a run starts: every bad clip is named, with a reason."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.audio.decoders import Decode, decoding
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.hearing import Heard, hear, hear_file
from diffusion_audio.data.listing import Entry, list_folder
from diffusion_audio.data.names import Fault
from diffusion_audio.data.open import open_source, parse, split_names
from diffusion_audio.data.source import Source
from diffusion_audio.data.splits import in_order
from diffusion_audio.errors import shortened

SILENT = 1e-4  # peak, full scale 1: 80 dB below


class Finding(NamedTuple):
    """One bad clip.

    Attributes:
        file: its name, below the folder or within the set.
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"``, ``"crashed"`` (its decoder),
            ``"too-slow"``, ``"too-large"``, ``"silent"``, ``"clipped"``,
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
    hear: Callable[[], Heard]
    fault: Fault | None = None


def check(
    spec: str,
    *,
    data_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Report:
    """Decode every clip of every split and name the bad ones.

    Args:
        spec: as for ``open_source``.
        data_dir: as for ``open_source``.
        progress: called with (clips done, clips in all) after each clip.
        workers: processes that files are decoded in, 0 for this one; one for each core
            if None.

    Raises:
        UserError: if the source cannot be listed at all (no folder, a mistake in its
            metadata).
    """
    findings: list[Finding] = []
    notes: tuple[str, ...] = ()
    kind, place = parse(spec)
    listing = list_folder(place) if kind == "folder" else None
    if listing is not None:
        findings += [Finding(name, *fault) for name, fault in listing.faults.items()]
        notes = (*listing.taken, *(f"not used: {line}" for line in listing.unused))
    first: dict[str, _Clip] = {}
    # Decoding ends first: nothing that waits for it keeps a stopped check from ending.
    with ThreadPoolExecutor() as pool, decoding(workers) as decode:
        if listing is not None:
            clips = [_clip_of_entry(entry, decode) for entry in listing.entries]
        else:
            clips = [*_clips_of_set(spec, data_dir)]
        for done, (clip, (digest, problem)) in enumerate(
            zip(clips, pool.map(_listen, clips), strict=True), start=1
        ):
            if problem:
                findings.append(Finding(clip.name, *problem))
            elif (other := first.setdefault(digest, clip)).split != clip.split:
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


def _clip_of_entry(entry: Entry, decode: Decode) -> _Clip:
    def listen() -> Heard:
        return decode(hear_file, entry.path)

    captions = sum(map(bool, entry.captions))
    return _Clip(shortened(entry.name), entry.split, captions, listen, entry.fault)


def _clips_of_set(spec: str, data_dir: str | Path | None) -> Iterator[_Clip]:
    for split in split_names(spec, data_dir=data_dir):
        source = open_source(spec, split, data_dir=data_dir)
        for index in range(len(source)):
            clip = source.describe(index)
            captions = int(bool(clip["caption"]))
            yield _Clip(clip["id"], split, captions, _hearing(source, index))


def _hearing(source: Source, index: int) -> Callable[[], Heard]:
    return lambda: hear([source[index]["audio"]])


def _listen(clip: _Clip) -> tuple[str, tuple[str, str] | None]:
    """A clip's hash, and what is wrong with it."""
    if clip.fault:
        return "", clip.fault
    try:
        heard = clip.hear()
    except AudioFileError as error:
        return "", (error.kind, str(error))
    problem = None
    if heard.peak < SILENT:
        problem = ("silent", f"its peak is {heard.peak:.1g} of full scale")
    elif heard.clipped:
        problem = ("clipped", f"{heard.clipped} samples in runs at full scale")
    return heard.digest, problem
