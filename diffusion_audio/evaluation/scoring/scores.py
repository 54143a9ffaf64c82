"""The numbers of one scoring: kept as JSON, compared where they were made alike."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusion_audio.data.names import listed
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.protocol import Protocol
from diffusion_audio.runs.workdir import read_json, write_json

NAME = "scores.json"


@dataclass(frozen=True)
class Score:
    """A number and how it was made.

    Attributes:
        title: what it is, in a few words.
        better: which direction is.
        value: at the number of clips of its protocol.
        low: lower end of its 95 % interval over clips; None where there is none.
        high: the upper end.
        more: other numbers of it, by name.
        notes: what to know before it is believed.
        protocol: all that it depends on, the system under test apart.
    """

    title: str
    better: str
    value: float
    low: float | None
    high: float | None
    more: Mapping[str, float]
    notes: tuple[str, ...]
    protocol: Protocol


@dataclass(frozen=True)
class Scores:
    """The numbers of a folder by a named protocol.

    Attributes:
        name: of the protocol.
        source: where its constants were read.
        faults: what is known to be wrong there.
        scores: by metric.
        left_out: metrics that could not be made of what was given, and why.
        clips: how many were scored, which were damaged or lacked a counterpart.
        inputs: the folders and files, and the networks' weights.
        environment: of `runs.workdir.provenance`.
    """

    name: str
    source: str
    faults: tuple[str, ...]
    scores: Mapping[str, Score]
    left_out: Mapping[str, str] = field(default_factory=dict)
    clips: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes the file, each score with the hash of its protocol."""
        values = dataclasses.asdict(self)
        for name, score in self.scores.items():
            values["scores"][name] |= {
                "protocol": score.protocol.to_dict(),
                "hash": score.protocol.hash,
            }
        write_json(path, values)


def read_scores(path: str | Path) -> Scores:
    """The scores of a file, or of the folder that has it.

    Raises:
        UserError: there is none, or it is no such file.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the {NAME} of `score`")
    values = read_json(path)
    try:
        scores = {}
        for name, score in values.pop("scores").items():
            protocol = Protocol.from_dict(score.pop("protocol"))
            if score.pop("hash") != protocol.hash:
                raise UserError(
                    f"{path}: the protocol of {name} was changed by hand: it has not "
                    "its hash; score anew"
                )
            notes = tuple(score.pop("notes"))
            scores[name] = Score(**score, notes=notes, protocol=protocol)
        return Scores(**values | {"faults": tuple(values["faults"]), "scores": scores})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no {NAME} of `score`, or damaged ({error}); score anew"
        ) from error


def require_comparable(first: Scores, second: Scores) -> list[str]:
    """Refuses to compare numbers that were made differently.

    Returns:
        The metrics that both have.

    Raises:
        UserError: with what differs, or if they share no metric.
    """
    if first.name != second.name:
        raise UserError(
            f"scores of the protocols {first.name!r} and {second.name!r} are not "
            "comparable; score both by one"
        )
    shared = [name for name in first.scores if name in second.scores]
    if not shared:
        raise UserError(
            f"no metric in common: {', '.join(first.scores)} there, "
            f"{', '.join(second.scores)} here; score both with the same --encoders"
        )
    gone = [_left_out(scores) for scores in (first, second)]
    for name in shared:
        try:
            first.scores[name].protocol.require_same(second.scores[name].protocol)
        except UserError as error:
            if gone[0] == gone[1]:
                raise
            said = (
                f"clips left out: {gone[0] or 'none'} there, {gone[1] or 'none'} here"
            )
            raise UserError(f"{error}; {said}") from error
    return shared


def _left_out(scores: Scores) -> str:
    """The clips that are not of the numbers, in words."""
    damaged = [entry["clip"] for entry in scores.clips.get("damaged", ())]
    unpaired = scores.clips.get("left_out", {}).values()
    return listed(sorted({*damaged, *(key for keys in unpaired for key in keys)}))
