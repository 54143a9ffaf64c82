"""What is the same run: one config, of which the code computes the same numbers.

A run lives in ``TASK-ID``, where ID is a hash of its config. Beside it, in
``TASK-ID-MARK``, live others of that config whose code computed other numbers: each
keeps a fingerprint, and today's code goes on with the one whose numbers it computes
too. What a system is heard by is known in the same way, in ``heard-ID``.

A probe takes seconds, so it is made only where a run is there that other source code
made, and what came of it is kept.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
from absl import logging

from diffusion_audio.runs.workdir import read_json, write_json
from diffusion_audio.study.code_hash import code_hash, short_hash
from diffusion_audio.study.fingerprint import (
    Fingerprint,
    change,
    environment,
    of_training,
)
from diffusion_audio.study.plan import Cell, Plan, Training, resolved

FINGERPRINT = "fingerprint.json"
FINISHED = "finished.json"
NUMBERS = "numbers.json"
PROBES = ".probes"  # in the folder of runs

State = Literal["missing", "begun", "done", "unchecked"]


class Place(NamedTuple):
    """Where a run is, or is going to be.

    Attributes:
        directory: its own. One that is ``unchecked`` may come to be another.
        state: ``missing``, ``begun``, ``done``, or ``unchecked``: one is there, and
            nobody knows whether today's code computes its numbers.
        mark: hash of the numbers that are computed there, and by what it stands on;
            empty where they are not known.
        changed: what differs from a run that is there, where one is of other numbers.
    """

    directory: Path
    state: State
    mark: str
    changed: str = ""


def look(training: Training, runs: Path) -> Place:
    """Where a training run is, as far as is known without computing."""
    parts = {name: look(part, runs).mark for name, part in training.parts.items()}
    now = _kept(_probe_file(training, runs))
    return _find(base(training, runs), FINISHED, _code(), parts, now)


def check(training: Training, runs: Path) -> Place:
    """Where a training run is; probes what the code computes if that is in doubt."""
    if look(training, runs).state == "unchecked":
        for each in training.with_parts():
            today(each, runs)
    return look(training, runs)


def look_heard(plan: Plan, cell: Cell, runs: Path) -> Place:
    """Where the numbers of a cell are, as far as is known without computing."""
    parts = _heard_with(plan, cell, runs)
    now = _kept(_heard_probe_file(cell, parts, runs))
    return _find(heard_base(cell, runs), NUMBERS, _hearing_code(), parts, now)


def check_heard(
    plan: Plan, cell: Cell, runs: Path, probe: Callable[[], Fingerprint]
) -> Place:
    """Where the numbers of a cell are, whose run and tools are finished.

    Args:
        plan: of the cell.
        cell: what is heard.
        runs: where runs are.
        probe: listens to a few clips; called only if the answer is in doubt.
    """
    place = look_heard(plan, cell, runs)
    if place.state != "unchecked":
        return place
    file = _heard_probe_file(cell, _heard_with(plan, cell, runs), runs)
    _remember(file, cell.name, probe)
    return look_heard(plan, cell, runs)


def today(training: Training, runs: Path) -> Fingerprint:
    """What today's code computes for a training run: as kept, else by a probe."""
    return _remember(
        _probe_file(training, runs),
        training.name,
        lambda: of_training(resolved(training)),
    )


def base(training: Training, runs: Path) -> Path:
    """What the directories of a training run are named by."""
    return runs / f"{training.task}-{training.id}"


def heard_base(cell: Cell, runs: Path) -> Path:
    """What the directories of a cell's numbers are named by."""
    return runs / f"heard-{cell.id}"


def begin(training: Training, runs: Path) -> Place:
    """Where a training run begins or goes on, its fingerprint kept there."""
    fingerprint, place = today(training, runs), look(training, runs)
    if place.state == "missing":
        parts = {name: look(part, runs).mark for name, part in training.parts.items()}
        _write(place.directory, _code(), parts, fingerprint)
    return place


def begin_heard(plan: Plan, cell: Cell, runs: Path, fingerprint: Fingerprint) -> Place:
    """Where the numbers of a cell go, the fingerprint of their probe kept there."""
    parts = _heard_with(plan, cell, runs)
    _remember(_heard_probe_file(cell, parts, runs), cell.name, lambda: fingerprint)
    place = look_heard(plan, cell, runs)
    _write(place.directory, _hearing_code(), parts, fingerprint)
    return place


def known(base: Path) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """The runs of one config: directory, what is kept of its fingerprint, mark."""
    for path in sorted([base, *base.parent.glob(f"{base.name}-*")]):
        if (path / FINGERPRINT).is_file():
            kept = read_json(path / FINGERPRINT)
            yield path, kept, _mark(kept["numbers"], kept["parts"])


def _find(
    named: Path,
    done: str,
    code: str,
    parts: Mapping[str, str],
    now: Fingerprint | None,
) -> Place:
    """The run of a config that today's code would make, or where to make it."""
    there = list(known(named))
    if not there:
        mark = _mark(now.numbers, parts) if now and all(parts.values()) else ""
        return Place(named, "missing", mark)
    old, kept, _ = there[-1]
    others = [name for name in parts if kept["parts"].get(name) != parts[name]]
    changed = f"it stands on another {', '.join(others)}"
    doubt = not all(parts.values())  # what it stands on is in doubt, so it is too
    for path, kept, mark in there:
        if kept["parts"] != parts:
            continue
        if kept["code"] == code or (
            now and not (changed := change(_fingerprint(kept), now))
        ):
            return Place(path, "done" if (path / done).is_file() else "begun", mark)
        old, doubt = path, doubt or now is None
    if doubt:
        return Place(old, "unchecked", "")
    changed = f"{old} stays, but today's code makes another: {changed}"
    mark = _mark(now.numbers, parts) if now else ""
    return Place(named.with_name(f"{named.name}-{mark}"), "missing", mark, changed)


def _heard_with(plan: Plan, cell: Cell, runs: Path) -> dict[str, str]:
    """Marks of all that the numbers of a cell come from."""
    return {name: look(t, runs).mark for name, t in plan.heard_with(cell).items()}


def _code() -> str:
    return code_hash("training.run")


def _hearing_code() -> str:
    return code_hash("study.measure")


def _probe_file(training: Training, runs: Path) -> Path:
    return _file(runs, {"probe": training.probe, "code": _code()})


def _heard_probe_file(cell: Cell, parts: Mapping[str, str], runs: Path) -> Path:
    content = {"heard": cell.id, "parts": parts, "code": _hearing_code()}
    return _file(runs, content)


def _file(runs: Path, content: Mapping[str, Any]) -> Path:
    text = json.dumps({**content, "environment": environment()}, sort_keys=True)
    return runs / PROBES / f"{short_hash(text)}.json"


def _remember(file: Path, name: str, compute: Callable[[], Fingerprint]) -> Fingerprint:
    if (kept := _kept(file)) is not None:
        return kept
    logging.info("%s: probing what the code computes", name)
    found = compute()
    jax.clear_caches()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found._asdict())
    return found


def _kept(file: Path) -> Fingerprint | None:
    return _fingerprint(read_json(file)) if file.is_file() else None


def _fingerprint(kept: Mapping[str, Any]) -> Fingerprint:
    return Fingerprint(kept["numbers"], kept["environment"])


def _write(
    directory: Path, code: str, parts: Mapping[str, str], fingerprint: Fingerprint
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    content = fingerprint._asdict() | {"code": code, "parts": parts}
    write_json(directory / FINGERPRINT, content)


def _mark(numbers: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    return short_hash(json.dumps([numbers, parts], sort_keys=True))[:6]
