"""Pairing the clips of a folder with saved mels, and what is checked before training.

Only headers are read: of every recording and every mel.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from statistics import median

from absl import logging

from diffusion_audio.audio import files
from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.audio.mel_files import axes_of, open_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.folder import FolderSource
from diffusion_audio.data.listing import Entry
from diffusion_audio.data.mels import MelSource, Pair
from diffusion_audio.data.skipped import allowed
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError

TOLERANCE = 2  # frames that a mel may have too many or too few, by its framing


def pair(
    sources: Sequence[Source],
    directory: str | Path,
    spec: AudioSpec,
    *,
    axes: str = "",
    skip_budget: float = 0.001,
) -> list[MelSource]:
    """The splits of a folder with the saved mels of their clips.

    All headers are read, so that what is wrong is said before training. Clips without
    a mel are left out and mels without a clip are not used; one line names and counts
    them.

    Args:
        sources: splits of a ``folder:DIR``.
        directory: of the mels.
        spec: what the mels mean.
        axes: their order, ``"ft"`` or ``"tf"``; found from their shapes if not given.
        skip_budget: share of bad pairs of a split beyond which it is refused, see
            `skipped.allowed`; those within are skipped by the pipeline.

    Raises:
        UserError: no folder, no mel of any clip of a split, two clips of one mel, two
            orders of axes, mels of another hop, more bad pairs than the budget.
    """
    folders = [source for source in sources if isinstance(source, FolderSource)]
    if len(folders) < len(sources):
        other = next(s.name for s in sources if not isinstance(s, FolderSource))
        raise UserError(
            f"saved mels are paired with the files of a folder, but the data source "
            f"is {other}: set config.data.source to folder:DIR, or leave "
            f"config.data.mels empty"
        )
    mels = _saved(Path(directory))
    clips: dict[str, str] = {}
    for entry in (entry for folder in folders for entry in folder.entries):
        known = clips.setdefault(_key(entry.name), entry.name)
        if known != entry.name:
            raise UserError(
                f"clips {known} and {entry.name} would both have the mel "
                f"{_key(known)}.npy: rename one of them"
            )
    strangers = sorted(mels.keys() - clips.keys())
    paired = [_paired(folder, mels, Path(directory)) for folder in folders]
    if strangers:
        logging.warning(
            "no clip of %s for %d of the %d mels in %s, which are not used; the first: "
            "%s.npy",
            " or ".join(folder.name for folder in folders),
            len(strangers),
            len(mels),
            directory,
            strangers[0],
        )
    order = axes or _common_order(
        [path for found in paired for _, path in found], spec.n_mels
    )
    return [
        MelSource(
            folder, _checked(folder, found, spec, order, skip_budget), spec, order
        )
        for folder, found in zip(folders, paired, strict=True)
    ]


def _saved(directory: Path) -> dict[str, Path]:
    """Every ``.npy`` file below a directory, by its name there without the suffix."""
    if not directory.is_dir():
        raise UserError(f"config.data.mels: no folder {str(directory)!r}")
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() == ".npy" and path.is_file() and not hidden:
            found[_key(name.as_posix())] = path
    if not found:
        raise UserError(
            f"config.data.mels: folder {str(directory)!r} holds no .npy file; the mel "
            f"of NAME.wav is NAME.npy, in the same sub-folder"
        )
    return found


def _key(name: str) -> str:
    """A name below a root without its suffix, the same however accents are coded."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name).with_suffix("")))


def _paired(
    source: FolderSource, mels: dict[str, Path], directory: Path
) -> list[tuple[int, Path]]:
    """The clips that have a mel, by their numbers, and where that is."""
    found, lacking = [], []
    for place, entry in enumerate(source.entries):
        key = _key(entry.name)
        if key in mels:
            found.append((place, mels[key]))
        else:
            lacking.append(f"{entry.name} (expected {directory / key}.npy)")
    if not found:
        raise UserError(
            f"none of the {len(lacking)} clips of {source.name} has a mel in "
            f"{str(directory)!r}; the first: {lacking[0]}; one that is there: "
            f"{next(iter(mels.values()))}"
        )
    if lacking:
        logging.warning(
            "no mel for %d of the %d clips of %s, which are left out; the first: %s",
            len(lacking),
            len(source.entries),
            source.name,
            lacking[0],
        )
    return found


def _common_order(paths: list[Path], n_mels: int) -> str:
    """The order that all mels have whose shape decides it; "" if none does."""
    examples: dict[str, Path] = {}
    for path in paths:
        try:
            order = axes_of(path, n_mels)
        except AudioFileError:
            continue  # said when the pair is checked
        if order:
            examples.setdefault(order, path)
    if len(examples) > 1:
        raise UserError(
            f"the mels are not of one order: by their shapes {examples['ft']} has its "
            f"bands first and {examples['tf']} its frames; set config.data.mel_axes to "
            f"'ft' or 'tf', and make the others anew"
        )
    return next(iter(examples), "")


def _checked(
    source: FolderSource,
    found: list[tuple[int, Path]],
    spec: AudioSpec,
    axes: str,
    skip_budget: float,
) -> list[Pair]:
    """The pairs of a split; refused if too many are bad."""
    pairs = [
        _check(source, source.entries[place], place, mel, spec, axes)
        for place, mel in found
    ]
    bad = [pair for pair in pairs if pair.problem is not None]
    problems = [pair.problem for pair in bad if pair.problem is not None]
    if len(bad) == len(pairs) or len(bad) > allowed(len(pairs), skip_budget):
        counts = Counter(problem.kind for problem in problems)
        hops = [pair.hop for pair in bad if pair.hop]
        middle = median(hops) if hops else 0.0
        hint = ""
        if len(hops) > len(pairs) / 2 and max(hops) - min(hops) < 0.1 * middle:
            hint = (
                f": a frame of theirs is about {middle:.0f} samples, "
                f"{middle / spec.hop_length:.3g} times the audio spec's hop_length of "
                f"{spec.hop_length}; make them with that hop and sample rate"
            )
        raise UserError(
            f"{len(bad)} of the {len(pairs)} pairs of {source.name} and its mels are "
            f"bad ({dict(counts)}), more than config.data.skip_budget allows{hint}; "
            f"the first: {problems[0]}"
        )
    excess = {pair.excess for pair in pairs if pair.problem is None}
    if excess == {1}:
        logging.warning(
            "every mel of %s has one frame more than its recording has hops: centred "
            "frames, as librosa and torchaudio make them, lie half a hop before those "
            "of a vocoder; better is one made with framing 'hifigan'",
            source.name,
        )
    return pairs


def _check(
    source: FolderSource,
    entry: Entry,
    place: int,
    path: Path,
    spec: AudioSpec,
    axes: str,
) -> Pair:
    """What the headers of a recording and its mel say of each other."""
    try:
        if entry.fault:
            raise AudioFileError(entry.fault.kind, entry.name, entry.fault.detail)
        mel = open_mel(path, spec.n_mels, axes)
        info = source.decode(files.probe, entry.path)
    except AudioFileError as error:
        return Pair(place, path, problem=error.with_traceback(None))
    samples = info.frames * spec.sample_rate // info.sample_rate
    hops = samples // spec.hop_length
    pair = Pair(
        place,
        path,
        frames=max(1, min(len(mel), hops)),
        rate=info.sample_rate,
        excess=len(mel) - hops,
        hop=samples / len(mel),
    )
    if abs(pair.excess) <= TOLERANCE:
        return pair
    problem = AudioFileError(
        "length",
        path,
        f"{len(mel)} frames of {spec.hop_length} samples are "
        f"{len(mel) * spec.hop_length / spec.sample_rate:.2f} s, but {entry.name} is "
        f"{info.seconds:.2f} s: a mel of another hop, or of another recording",
    )
    return pair._replace(problem=problem)
