"""The resolved config of a run: all of a model, without the files it came from."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.runs import same_run
from diffusion_audio.runs.workdir import read_config

COMPONENTS = ("autoencoder", "vocoder")


def resolve(
    config: ConfigDict | Mapping[str, Any], workdir: Path | None = None
) -> dict[str, Any]:
    """The config as plain values, with nothing left to look up.

    The AudioSpec is spelt out, and the directories under ``components``, of runs or of
    converted weights, are replaced by the resolved configs found there, with a hash of
    the weights. A component takes the place of the group of its name.

    Args:
        config: as a recipe makes it.
        workdir: of the run that goes on, whose checkpoint keeps its components: they
            may have gone from where they were.

    Raises:
        UserError: a component is no run, has no part of its name, or has another
            AudioSpec.
    """
    plain = config.to_dict() if isinstance(config, ConfigDict) else config
    resolved = json.loads(json.dumps(plain))
    spec = AudioSpec.from_config(resolved["audio"])
    resolved["audio"] = spec.to_dict()
    parts = {}
    for name, place in resolved.get("components", {}).items():
        if name not in COMPONENTS:
            raise unknown("key in config.components", name, COMPONENTS)
        if not place:
            continue
        place = os.path.expanduser(place)
        part = same_run.own_component(workdir, name, place)
        mine = f"this {resolved['task']} run"
        parts[name] = component(name, place, spec, mine, part)
    if "components" in resolved:
        resolved["components"] = parts
    if "autoencoder" in parts:
        resolved.pop("autoencoder", None)
    return resolved


def component(
    name: str,
    place: str,
    spec: AudioSpec,
    mine: str,
    kept: dict[str, Any] | None = None,
    *,
    said: str = "",
) -> dict[str, Any]:
    """The resolved config of a trained part, where it lies and what it holds.

    Args:
        name: of the part, one of ``COMPONENTS``.
        place: its work directory, or a folder of converted weights.
        spec: that it must have.
        mine: whose that is, for messages.
        kept: that config, where the run that goes on keeps the part.
        said: where the place was given, for messages; the config's key if empty.

    Raises:
        UserError: it is no run, has no such part, or another AudioSpec.
    """
    part = kept or read_config(place)
    if name not in part:
        said = said or f"config.components.{name}"
        raise UserError(
            f"{said} is {place}, a run of task {part['task']!r}; "
            f"give one that trains a part of this kind (its config has a group {name})"
        )
    spec.require_same(AudioSpec.from_dict(part["audio"]), mine=mine, theirs=name)
    return kept or part | {"run": place, "hash": same_run.weights_hash(place)}
