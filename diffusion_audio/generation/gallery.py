"""A page of the sounds that `generate` wrote into a folder, from its index.

An index may come from anyone: it names files of its own folder or is refused, and all
that it says is shown as text.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from diffusion_audio.audio.decoders import Decode, decoding
from diffusion_audio.audio.files import probe, read
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.generation.index import INDEX, read_index
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.report.content import (
    Clip,
    Example,
    Listen,
    Provenance,
    Report,
    Settings,
)
from diffusion_audio.report.page import duration, render

PAGE = "index.html"
MOST_SECONDS = 1800.0  # of sound on a page, which holds it: more is slow to open
# What the index says of a call, in the order in which it is worth reading.
SETTINGS = {
    "model": "Model",
    "step": "Checkpoint's step",
    "vocoder": "Vocoder",
    "preset": "Preset",
    "dtype": "Type",
    "seed": "Seed",
    "negative_prompt": "Negative prompt",
    "duration": "Seconds",
    "num_candidates": "Candidates",
    "batch_size": "Batch size",
}


class _Sound(NamedTuple):
    """An entry of the index."""

    path: Path
    prompt: str
    transcript: str | None
    position: int
    score: float | None
    rank: int | None


def require_page(directory: str | Path, *, overwrite: bool = False) -> Path:
    """Where the page of a folder goes, once nothing of the user's is there.

    Raises:
        UserError: a file is there that must not be replaced.
    """
    path = Path(directory) / PAGE
    require_writable([path], inputs=[path.with_name(INDEX)], overwrite=overwrite)
    return path


def write_gallery(directory: str | Path, *, overwrite: bool = False) -> Path:
    """Writes ``index.html``: prompts, players, spectrograms, scores and settings.

    One file that needs nothing else, also not the WAV files; of a folder with more
    than ``MOST_SECONDS`` of sound it holds the latest, and says so.

    Args:
        directory: that `generate` wrote to, once or several times.
        overwrite: a page that was not made here, or was changed, may be replaced.

    Returns:
        The page, absolute.

    Raises:
        UserError: there is no index of `generate`, it is damaged, or a sound is.
    """
    directory = Path(directory)
    index = read_index(directory)
    if not index:
        raise UserError(
            f"{directory} has no {INDEX} of `diffusion-audio generate`; expected the "
            "directory that it was given as --out"
        )
    path = require_page(directory, overwrite=overwrite)
    every = [index, *reversed(index.get("earlier", []))]
    entries = [_sounds(directory, call) for call in every]
    there = [[s for s in sounds if _is_there(s.path)] for sounds in entries]
    with decoding(1) as decode:
        shown, seconds = _within(there, decode)
        calls = [
            _call(call, sounds, decode)
            for call, sounds in zip(every, shown, strict=True)
            if sounds
        ]
    if not calls:
        raise UserError(f"no sound that {directory / INDEX} lists is there any more")
    left = _left(*(sum(map(len, each)) for each in (entries, there, shown)))
    if left:
        logging.warning("%s: %s", path, left)
    count = sum(map(len, shown))
    examples = [example for listen, *_ in calls for example in listen.examples]
    one = len(examples) == 1
    report = Report(
        title=examples[0].caption if one else "Sounds of prompts",
        summary=f"{left[0].upper()}{left[1:]}." if left else "",
        headlines=(
            (str(len(examples)), "prompt" if one else "prompts"),
            (str(count), "sound" if count == 1 else "sounds"),
            (duration(seconds), "in all"),
        ),
        sections=tuple(section for call in calls for section in call),
    )
    page = render(report, path)
    record(page, "page")
    return page


def _sounds(directory: Path, call: Mapping[str, Any]) -> list[_Sound]:
    """What a call says that it made, checked."""
    found = []
    for entry in call["files"]:
        name, prompt = entry["file"], entry.get("prompt")
        position, rank = entry.get("position"), entry.get("rank")
        score, transcript = entry.get("score"), entry.get("transcript")
        if (
            name != Path(name).name
            or "\0" in name
            or not isinstance(prompt, str)
            or not isinstance(transcript, str | None)
            or type(position) is not int
            or not isinstance(score, float | int | None)
            or not isinstance(rank, int | None)
        ):
            raise UserError(
                f"{directory / INDEX} is damaged: expected a file beside it with its "
                f"prompt and position, got {shortened(repr(entry))}"
            )
        path = directory / name
        found.append(_Sound(path, prompt, transcript, position, score, rank))
    return found


def _is_there(path: Path) -> bool:
    """Whether a sound lies in the folder itself; a link would show another's."""
    return path.is_file() and not path.is_symlink()


def _within(
    calls: list[list[_Sound]], decode: Decode
) -> tuple[list[list[_Sound]], float]:
    """The first sounds of each call that fit on a page, and their seconds in all.

    The very first is taken whatever its length is.
    """
    total, shown, kept = 0.0, 0.0, list[list[_Sound]]()
    for sounds in calls:
        kept.append([])
        for sound in sounds:
            seconds = decode(probe, sound.path).seconds
            total += seconds
            if total <= MOST_SECONDS or not any(kept):
                kept[-1].append(sound)
                shown += seconds
    return kept, shown


def _left(listed: int, there: int, shown: int) -> str:
    """Says what of an index is not on its page."""
    parts = []
    if there < listed:
        parts.append(f"{listed - there} of {listed} sounds are no more there")
    if shown < there:
        parts.append(
            f"{there - shown} of {there} are left out, beyond "
            f"{MOST_SECONDS / 60:.0f} minutes"
        )
    return "; ".join(parts)


def _call(
    call: Mapping[str, Any], sounds: list[_Sound], decode: Decode
) -> tuple[Listen, Settings, Provenance]:
    """What one call of `generate` made: prompts, each with its candidates."""
    rate = decode(probe, sounds[0].path).sample_rate
    each = call.get("num_candidates")
    each = each if type(each) is int and each > 0 else 1
    prompts: dict[int, list[_Sound]] = {}
    for sound in sounds:
        prompts.setdefault(sound.position // each, []).append(sound)
    examples = tuple(
        Example(
            _caption(group[0]),
            tuple(
                _clip(sound, rate, each, decode)
                for sound in sorted(group, key=lambda s: (s.rank or 0, s.position))
            ),
        )
        for group in prompts.values()
    )
    started = _text(call.get("started", ""))
    ranked = any(sound.rank is not None for sound in sounds)
    note = "Candidates stand in the order of their CLAP score, the cosine between a "
    note += "sound and its prompt."
    title = f"{started[:10]} {started[11:16]} {_text(call.get('model', ''))}".strip()
    return (
        Listen(examples, rate, note if ranked else "", title),
        Settings(dict(_settings(call))),
        _provenance(call),
    )


def _caption(sound: _Sound) -> str:
    """What was asked for: the prompt, and of speech what is said."""
    prompt = sound.prompt if sound.prompt.strip() else "(no prompt)"
    return f"{prompt} \N{EN DASH} “{sound.transcript}”" if sound.transcript else prompt


def _clip(sound: _Sound, rate: int, each: int, decode: Decode) -> Clip:
    name = "Generated" if each == 1 else f"Candidate {sound.position % each + 1}"
    notes = [] if sound.rank is None else [f"rank {sound.rank}"]
    if sound.score is not None:
        notes.append(f"CLAP score {sound.score:.3f}")
    note = " · ".join([*notes, sound.path.name])
    return Clip(name, decode(read, sound.path, rate), note=note)


def _settings(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, title in SETTINGS.items():
        if call.get(name) not in (None, ""):
            yield title, _text(call[name])
    sampling = call.get("sampling")
    if isinstance(sampling, Mapping):
        for name, value in sampling.items():
            if value is not None:
                yield _text(name).replace("_", " ").capitalize(), _text(value)


def _provenance(call: Mapping[str, Any]) -> Provenance:
    devices, packages = call.get("devices"), call.get("packages")
    named = packages.items() if isinstance(packages, Mapping) else ()
    return Provenance(
        command=_text(call.get("command", "unknown")),
        commit=_text(call.get("commit", "unknown")),
        dirty=_text(call.get("uncommitted_changes", "")),
        device=_text(devices if devices else "unknown"),
        configs={"model": _text(call.get("config_hash", "unknown"))},
        versions={_text(name): _text(version) for name, version in named},
        seconds={},
        other={
            title: _text(call[name])
            for name, title in {"processor": "Processor", "started": "Began"}.items()
            if call.get(name)
        },
    )


def _text(value: Any) -> str:
    """A value of JSON as people read it."""
    if isinstance(value, Mapping):
        pairs = {k: v for k, v in value.items() if k != "name" and v is not None}
        said = ", ".join(f"{name} {_text(item)}" for name, item in pairs.items())
        return f"{value.get('name', '')} {said and f'({said})'}".strip()
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
