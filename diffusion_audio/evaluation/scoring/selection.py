"""From folders and a table to the clips that a protocol's metrics are made of."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.estimators import Needs
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.protocol import text_hash
from diffusion_audio.evaluation.scoring.clips import (
    Unpaired,
    find_clips,
    pair,
    read_captions,
    require_list,
)


@dataclass(frozen=True)
class Inputs:
    """What is scored, and how strictly.

    Attributes:
        generated: folder of the clips that are scored.
        reference: folder of real clips; None without.
        captions: table with the caption of each clip; None without.
        key: column of the table that holds the clips' keys; None for the stems of the
            files that it names.
        unpaired: the folders are of other clips: no metric of pairs is made.
        paired_only: clips without a counterpart are left out.
        own_clips: other clips than the protocol's list are scored.
    """

    generated: str | Path
    reference: str | Path | None = None
    captions: str | Path | None = None
    key: str | None = None
    unpaired: bool = False
    paired_only: bool = False
    own_clips: bool = False


def possible(
    metrics: dict[str, Metric], inputs: Inputs
) -> tuple[dict[str, Metric], dict[str, str]]:
    """The metrics that can be made of what is given; and why the others cannot.

    Raises:
        UserError: there is none.
    """
    missing: dict[Needs, str] = {}
    if inputs.reference is None:
        missing |= dict.fromkeys(("reference", "pairs"), "there is no --reference")
    elif inputs.unpaired:
        missing["pairs"] = "the folders are --unpaired"
    if inputs.captions is None:
        missing["captions"] = "there are no --captions"
    left_out = {
        name: missing[metric.estimator.needs]
        for name, metric in metrics.items()
        if metric.estimator.needs in missing
    }
    made = {name: metric for name, metric in metrics.items() if name not in left_out}
    if not made:
        said = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UserError(f"no metric can be made of what is given ({said})")
    return made, left_out


@dataclass
class Side:
    """The clips of one folder, and what is found out about them.

    Attributes:
        paths: their files, by key.
        contents: hashes of their contents, by key.
        damaged: what is wrong with those that cannot be used, by key.
    """

    paths: dict[str, Path]
    contents: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, AudioFileError] = field(default_factory=dict)

    def note(self, wrong: dict[str, AudioFileError]) -> None:
        """Keeps what is wrong with contents, for every clip that has one of them."""
        self.damaged |= {
            key: wrong[content]
            for key, content in self.contents.items()
            if content in wrong
        }

    def good(self, keys: Collection[str] | None = None) -> list[str]:
        """Keys that can be used, sorted: of some, or of all."""
        return sorted(set(self.paths if keys is None else keys) - set(self.damaged))


class Selection(NamedTuple):
    """The clips of a scoring. Made by `select`.

    Attributes:
        generated: those that are scored.
        reference: real ones; None without.
        captions: by key; None where none take part.
        ids: hash of the keys of the generated clips.
        unpaired: what lacked a counterpart and was left out.
    """

    generated: Side
    reference: Side | None
    captions: dict[str, str] | None
    ids: str
    unpaired: Unpaired


def select(
    protocol: str, named: NamedProtocol, inputs: Inputs, needs: Collection[Needs]
) -> Selection:
    """Lists the clips that metrics are made of; no file is opened.

    Args:
        protocol: its name, for messages.
        named: the protocol.
        inputs: folders and captions.
        needs: of the metrics that are made.

    Raises:
        UserError: clips lack a counterpart or are not those of the protocol.
    """
    generated = find_clips(inputs.generated)
    reference = find_clips(inputs.reference) if inputs.reference else None
    captions = None
    if inputs.captions and ("captions" in needs or named.clips):
        captions = read_captions(inputs.captions, inputs.key)
    pairs = reference if "pairs" in needs else None
    unpaired = Unpaired()
    keys = sorted(generated)
    if pairs is not None or captions is not None:
        keys, unpaired = pair(generated, pairs, captions, leave_out=inputs.paired_only)
    if named.clips and not inputs.own_clips:
        ids = require_list(protocol, named.clips, captions or keys)
    else:
        ids = text_hash(keys)
    if pairs is not None:
        reference = {key: pairs[key] for key in keys}
    return Selection(
        Side({key: generated[key] for key in keys}),
        None if reference is None else Side(reference),
        captions if "captions" in needs else None,
        ids,
        unpaired,
    )


def counts(selection: Selection) -> dict[str, Any]:
    """How many clips are scored, and which are not, as JSON values."""
    sides = {"generated": selection.generated, "reference": selection.reference}
    damaged = [
        {"of": name, "clip": key, "file": str(side.paths[key]), "why": str(error)}
        for name, side in sides.items()
        if side
        for key, error in sorted(side.damaged.items())
    ]
    return {
        **{name: len(side.good()) if side else 0 for name, side in sides.items()},
        "ids": selection.ids,
        "damaged": damaged,
        "left_out": {k: list(v) for k, v in selection.unpaired._asdict().items() if v},
    }
