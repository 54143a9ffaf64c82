"""What is the same run: one config, of which the code computes the same numbers.

A run lives in ``TASK-ID``, where ID is a hash of its config. Beside it, in
``TASK-ID-MARK``, live others of that config whose code computed other numbers: each
keeps a fingerprint, and today's code goes on with the one whose numbers it computes
too. The numbers of a cell are known in the same way, in ``heard-ID``.

A probe takes seconds, so it is made only where a run is there that other source code
made, and what came of it is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
from absl import logging

from diffusion_audio.runs.code_hash import code_hash, json_hash
from diffusion_audio.runs.workdir import read_json, write_json
from diffusion_audio.study.fingerprint import (
    Fingerprint,
    change,
    environment,
    of_training,
)
from diffusion_audio.study.plan import Cell, Training, resolved

FINGERPRINT = "fingerprint.json"
FINISHED = "finished.json"
NUMBERS = "numbers.json"
PROBES = ".probes"  # in the folder of runs

State = Literal["missing", "begun", "done", "unchecked"]
Probe = Callable[[], Fingerprint]


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


Node = Training | Cell
"""What is made once and kept: a run, or the numbers of a cell. Both stand on parts."""


def locate(node: Node, runs: Path) -> Place:
    """Where a run or a cell's numbers are, as far as is known without computing."""
    parts, named = _marks(node, runs), runs / node.directory
    there, now = list(kept_runs(named)), _kept(_probe_file(node, runs))
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
        if kept["code"] == _code(node) or (
            now and not (changed := change(_fingerprint(kept), now))
        ):
            return Place(path, "done" if _is_done(node, path) else "begun", mark)
        old, doubt = path, doubt or now is None
    if doubt:
        return Place(old, "unchecked", "")
    changed = f"{old} stays, but today's code makes another: {changed}"
    mark = _mark(now.numbers, parts) if now else ""
    return Place(named.with_name(f"{named.name}-{mark}"), "missing", mark, changed)


def check(node: Node, runs: Path, probe: Probe | None = None) -> Place:
    """As `locate`; probes what the code computes if the answer is in doubt.

    Args:
        node: of a cell, the runs must be finished.
        runs: where runs are.
        probe: of a cell: measures a few clips.
    """
    place = locate(node, runs)
    if place.state == "unchecked":
        for part in node.parts.values():
            for each in part.with_parts():
                if not locate(each, runs).mark:
                    fingerprint_of(each, runs)
        fingerprint_of(node, runs, probe)
    return locate(node, runs)


def fingerprint_of(node: Node, runs: Path, probe: Probe | None = None) -> Fingerprint:
    """What today's code computes: as kept, else by a probe."""
    file = _probe_file(node, runs)
    if (kept := _kept(file)) is not None:
        return kept
    if probe is None:
        assert isinstance(node, Training)  # of a cell it is given
        logging.info("%s: probing what the code computes", node.name)
        found = of_training(resolved(node))
    else:
        found = probe()
    jax.clear_caches()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found._asdict())
    return found


def begin(node: Node, runs: Path, probe: Probe | None = None) -> Place:
    """Where a node begins or goes on, its fingerprint kept there."""
    fingerprint, place = fingerprint_of(node, runs, probe), locate(node, runs)
    if place.state == "missing":
        place.directory.mkdir(parents=True, exist_ok=True)
        content = {"code": _code(node), "parts": _marks(node, runs)}
        write_json(place.directory / FINGERPRINT, fingerprint._asdict() | content)
    return place


def kept_runs(base: Path) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """The runs of one config: directory, what is kept of its fingerprint, mark."""
    for path in sorted([base, *base.parent.glob(f"{base.name}-*")]):
        if (path / FINGERPRINT).is_file():
            kept = read_json(path / FINGERPRINT)
            yield path, kept, _mark(kept["numbers"], kept["parts"])


def _marks(node: Node, runs: Path) -> dict[str, str]:
    return {name: locate(part, runs).mark for name, part in node.parts.items()}


def _code(node: Node) -> str:
    """Hash of the code that makes it."""
    module = "training.run" if isinstance(node, Training) else "study.measure"
    return code_hash(module)


def _is_done(node: Node, path: Path) -> bool:
    """Whether the file is there that is written last."""
    last = FINISHED if isinstance(node, Training) else NUMBERS
    return (path / last).is_file()


def _probe_file(node: Node, runs: Path) -> Path:
    content: dict[str, Any] = {"code": _code(node), "environment": environment()}
    if isinstance(node, Training):  # its seed and its parts change no probe
        content["probe"] = node.probe
    else:
        content |= {"heard": node.id, "parts": _marks(node, runs)}
    return runs / PROBES / f"{json_hash(content)}.json"


def _kept(file: Path) -> Fingerprint | None:
    return _fingerprint(read_json(file)) if file.is_file() else None


def _fingerprint(kept: Mapping[str, Any]) -> Fingerprint:
    return Fingerprint(kept["numbers"], kept["environment"])


def _mark(numbers: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    return json_hash([numbers, parts])[:6]
