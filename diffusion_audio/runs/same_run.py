"""Whether a run that goes on is still the same run: content decides, not places.

Where data and components lie may change; which clips, captions and weights they hold
may not, unless it is asked for and put on record.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.outputs import run_around
from diffusion_audio.pretrained import folder
from diffusion_audio.pretrained.read_system import is_system, read_system
from diffusion_audio.runs import manifest, side_files
from diffusion_audio.runs.extras import EXTRAS
from diffusion_audio.runs.metric_log import METRICS, read_metrics
from diffusion_audio.runs.session import PROVENANCE, sessions
from diffusion_audio.runs.side_files import FILES
from diffusion_audio.runs.workdir import (
    CONFIG,
    differences,
    read_config,
    read_json,
)

INVENTORY = "data.json"
# Of groups of a config: where things lie, who reads them, and which of them are kept.
NOT_CONTENT = {
    "data": ("source", "mels", "decode_workers"),
    "train": ("keep_every", "keep_best", "best"),
}
# Of groups of a config: settings that came after the first release, each with what runs
# did before it.
CAME_LATER = {"optimizer": {"name": "adamw"}}
# What a run writes, beside its config.
WRITTEN = (
    *(INVENTORY, EXTRAS, FILES, METRICS, PROVENANCE),
    *("checkpoints", "latents", "tensorboard", "non_finite", "profile"),
)
SHOWN = 3  # names of each kind in an error

# What may change when a run goes on: its length, and what changes no numbers.
FREE_TO_CHANGE = (
    "denoiser.remat",
    "train.steps",
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.keep",
    "train.keep_every",
    "train.keep_best",
    "train.best",
    "data.decode_workers",
    "train.non_finite",  # of numbers that are finite it changes none
    "train.max_skipped",
    "train.watchdog",
    "train.expected",
    "parallel.",
)
# It changes none either, but runs and bands are known by hashes that it is part of.
ALSO_FREE = ("data.skip_budget",)


def begun(workdir: Path) -> bool:
    """Whether a directory holds a run with something saved, there or lost."""
    checkpoints = workdir / "checkpoints"
    for kind in ("steps", "manifests"):
        if any((checkpoints / kind).glob("*")):
            return True
    recorded = sessions(workdir) if (workdir / PROVENANCE).exists() else []
    if any("last_step" in session for session in recorded):
        return True
    # Training makes the folder of steps before it writes the first metrics.
    return not (checkpoints / "steps").is_dir() and bool(read_metrics(workdir))


def content(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved config without what only says where things lie and what is kept.

    A component is known by the hash of its weights: how it was trained is in them.
    Settings that an older config does not have are as they were then.
    """
    kept = json.loads(json.dumps(config))
    for group, keys in NOT_CONTENT.items():
        for key in keys:
            kept.get(group, {}).pop(key, None)
    for group, settings in CAME_LATER.items():
        if group in kept:
            kept[group] = settings | kept[group]
    parts = kept.get("components", {})
    for name, part in parts.items():
        parts[name] = {"hash": part["hash"]} if "hash" in part else content(part)
    return kept


def content_hash(config: Mapping[str, Any]) -> str:
    """Short hash of a resolved config, wherever its data and components lie."""
    text = json.dumps(content(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def weights_hash(directory: str | Path, part: str = "", step: int | None = None) -> str:
    """Short hash of the weights in a folder of published ones, or in a run.

    That of a run is of a finished checkpoint, the newest where no step is said; empty
    where there is none. Of a whole published system it is that of a part.
    """
    if is_system(directory):
        return read_system(directory).hash(part)[:12]
    if not folder.is_weights(directory):
        return manifest.content_hash(Path(directory) / "checkpoints", step)
    digest = hashlib.sha256()
    for path in sorted(Path(directory).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def require_same(workdir: Path, config: Mapping[str, Any]) -> None:
    """Refuses a work directory that holds a run of another config.

    One in which nothing was saved takes any.

    Raises:
        UserError: naming what differs; or the directory is not of a run.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; expected a directory for the run")
    if workdir.is_symlink() and not workdir.exists():
        raise UserError(
            f"{workdir} is a link that leads nowhere; give another --workdir"
        )
    if run := run_around(workdir):
        raise UserError(
            f"{workdir} lies among the checkpoints of {run}; give another --workdir"
        )
    if folder.is_weights(workdir):
        raise UserError(
            f"{workdir} is converted weights of a vocoder, and a run would be written "
            "over them; give another --workdir"
        )
    if (workdir / CONFIG).exists():
        read_config(workdir)  # refuses what is another program's
    elif others := [name for name in WRITTEN if (workdir / name).exists()]:
        raise UserError(
            f"{workdir} is not of a run and holds {', '.join(others)}, which a run "
            "would write over; give a --workdir of its own"
        )
    if not begun(workdir):
        return
    changed = [
        line
        for line in differences(content(read_config(workdir)), content(config))
        if not line.startswith(FREE_TO_CHANGE + ALSO_FREE)
    ]
    if not changed:
        return
    advice = "use another --workdir or the config of that run"
    kept = [
        name
        for name in config.get("components", {})
        if any(line.startswith(f"components.{name}.") for line in changed)
    ]
    if kept:
        advice += (
            f"; --config.components.{kept[0]}={workdir} goes on with the {kept[0]} of "
            "that run"
        )
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    raise UserError(
        f"{workdir} holds a run of another config ({'; '.join(changed[:SHOWN])}"
        f"{more}); {advice}"
    )


class Inventoried(Protocol):
    """What is asked of a source of data; see `data.source.Source`."""

    def inventory(self) -> dict[str, str]:
        """Short hash of the content of each clip, by its name."""
        ...

    def fingerprint(self) -> str:
        """Changes when the set does."""
        ...


class Data(NamedTuple):
    """What a run is trained and evaluated on, for the record.

    Attributes:
        source: what the config calls it.
        fingerprint: of each split.
        clips: the inventory of each fingerprint, those of saved sessions too.
        changes: against what the run began with, in words; empty without any.
    """

    source: str
    fingerprint: dict[str, str]
    clips: dict[str, dict[str, str]]
    changes: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """The part of it that each session keeps."""
        kept = {"source": self.source, "fingerprint": self.fingerprint}
        return kept | ({"changes": self.changes} if self.changes else {})

    def kept(self) -> dict[str, Any]:
        """The part of it that the run keeps, to be compared when it goes on."""
        return {"fingerprint": self.fingerprint, "clips": self.clips}


def require_same_data(
    workdir: Path,
    source: str,
    splits: Mapping[str, Inventoried],
    *,
    accept_changes: bool = False,
) -> Data:
    """Compares data with those a run began with, wherever they lie; writes nothing.

    Args:
        workdir: of the run.
        source: what the config calls them.
        splits: those that are trained and evaluated on, by their names.
        accept_changes: take other data than the run began with.

    Raises:
        UserError: clips are gone, new or changed, and that is not accepted.
    """
    fingerprint = {name: split.fingerprint() for name, split in splits.items()}
    now = {fingerprint[name]: split.inventory() for name, split in splits.items()}
    if not begun(workdir):
        return Data(source, fingerprint, now)
    then, known = _recorded(workdir)
    changes = tuple(
        f"split {split}: {_change(then[split], value, known | now)}"
        for split, value in fingerprint.items()
        if then.get(split, value) != value
    )
    if changes and not accept_changes:
        raise UserError(
            f"{source} is not what {workdir} was trained on: {'; '.join(changes)}. "
            "Bring it back, say where it lies now (--config.data.source), or go on "
            "with what is there and have that on record: --accept_changed_data"
        )
    for change in changes:
        logging.warning("going on with changed data: %s", change)
    # Until this session has saved a step, that of the last one is still needed.
    kept = {value: known[value] for value in then.values() if value in known}
    return Data(source, fingerprint, kept | now, changes)


def _recorded(workdir: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The fingerprint of each split that a run is on, and inventories by fingerprint.

    Sessions say the fingerprints, for they are of saved steps; without any, the
    inventory does.
    """
    kept: dict[str, dict[str, Any]] = {"fingerprint": {}, "clips": {}}
    try:
        side_files.require(workdir, INVENTORY)
        found = read_json(workdir / INVENTORY)
        kept |= {name: dict(found[name]) for name in kept}
    except (OSError, UserError, KeyError, TypeError, ValueError) as error:
        logging.warning("which clips were there is not known: %s", error)
    then: dict[str, str] = {}
    for session in sessions(workdir) if (workdir / PROVENANCE).exists() else []:
        then |= session.get("data", {}).get("fingerprint", {})
    return then or kept["fingerprint"], kept["clips"]


def _change(old: str, new: str, known: Mapping[str, dict[str, str]]) -> str:
    """What became of the clips between two fingerprints, in words."""
    before, after = known.get(old, {}), known.get(new, {})
    kinds = {
        "gone": sorted(before.keys() - after.keys()),
        "new": sorted(after.keys() - before.keys()),
        "changed": sorted(
            name for name in before.keys() & after.keys() if before[name] != after[name]
        ),
    }
    said = ", ".join(
        f"{len(names)} {kind} ({_first(names)})"
        for kind, names in kinds.items()
        if names
    )
    if not before or not after or not said:
        return f"fingerprint {old} then, {new} now"
    return said


def _first(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def own_component(workdir: Path | None, name: str, place: str) -> dict[str, Any] | None:
    """A component's config from the run that goes on, whose checkpoint keeps it.

    Args:
        workdir: of the run; None where nothing goes on.
        name: of the component.
        place: where it is said to lie: the run itself, or where it lay when the run
            began and is no more.

    Returns:
        None where the component is to be read from its place.

    Raises:
        UserError: there is none at a place where it never lay.
    """
    if workdir is None or not (workdir / CONFIG).is_file() or not begun(workdir):
        return None
    part = read_config(workdir).get("components", {}).get(name)
    if part is None:
        return None
    if Path(place).exists() and Path(place).samefile(workdir):
        return _kept(workdir, name, part)
    if (Path(place) / CONFIG).exists() or is_system(place):
        return None
    if os.path.abspath(place) == os.path.abspath(part["run"]):
        return _kept(workdir, name, part)
    raise UserError(
        f"config.components.{name}: there is no run in {place}; say where it lies, or "
        f"--config.components.{name}={workdir} goes on with the one that is kept there"
    )


def _kept(workdir: Path, name: str, part: dict[str, Any]) -> dict[str, Any]:
    logging.info("going on with the %s that %s keeps", name, workdir)
    return part


def unchanged(name: str, part: Mapping[str, Any]) -> bool:
    """Whether a component's weights lie where its config says, as they were then."""
    place = Path(part["run"])
    if not place.exists():
        return False
    return "hash" not in part or part["hash"] == weights_hash(
        place, name, part.get("step")
    )
