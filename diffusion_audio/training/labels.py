"""What the classes of a classifier mean: kept in its run, for whoever asks it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.training.workdir import read_json, write_json

LABELS = "labels.json"

Labels = dict[str, tuple[str, ...]]
"""The values of each attribute, in the order of their class numbers."""


def settle(workdir: Path | None, config: Mapping[str, Any], source: Any) -> Labels:
    """The classes of a run that goes on, else those of its data.

    Args:
        workdir: of the run that goes on; None for a new one.
        config: resolved; ``data.labels`` names the attributes.
        source: of the clips to learn from.

    Raises:
        UserError: the source does not have an attribute, or the config another number
            of classes for it.
    """
    if workdir is not None:
        return read(workdir, config)
    names = config["data"]["labels"]
    for name in names:
        if name not in source.attributes:
            raise unknown(f"attribute of {source.name}", name, source.attributes)
    found = {name: tuple(source.attributes[name]) for name in names}
    _check(found, config, source.name)
    return found


def write(workdir: Path, labels: Labels) -> None:
    """Keeps the classes in a run."""
    write_json(workdir / LABELS, labels)


def read(workdir: str | Path, config: Mapping[str, Any]) -> Labels:
    """The classes of a run that has been trained.

    Raises:
        UserError: there are none, or others than the run's config says.
    """
    path = Path(workdir) / LABELS
    if not path.is_file():
        raise UserError(f"{workdir} lacks {LABELS}, the names of its classes")
    stored, names = read_json(path), config["data"]["labels"]
    if stored.keys() != set(names):
        raise UserError(
            f"{path} is of the attributes {', '.join(stored)}, but the run's config "
            f"says {', '.join(names)}; restore the file"
        )
    for name, values in stored.items():
        whole = isinstance(values, list) and all(isinstance(v, str) for v in values)
        if not whole:
            raise UserError(
                f"{path} is damaged: expected a list of values for {name}, not "
                f"{values!r}; restore the file"
            )
    found = {name: tuple(stored[name]) for name in names}
    _check(found, config, str(path))
    return found


def _check(labels: Labels, config: Mapping[str, Any], where: str) -> None:
    classes = tuple(config["classifier"]["classes"])
    counts = tuple(map(len, labels.values()))
    if counts != classes:
        values = ", ".join(f"{len(items)} of {name}" for name, items in labels.items())
        raise UserError(
            f"config.classifier.classes is {classes}, but {where} has the values "
            f"{values}; set it to {counts}"
        )
