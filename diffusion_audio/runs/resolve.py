"""The resolved config of a run: all of a model, without the files it came from."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.pretrained.hub import located
from diffusion_audio.pretrained.presets import preset
from diffusion_audio.pretrained.published_system import PublishedSystem
from diffusion_audio.pretrained.read_system import is_system, read_system
from diffusion_audio.runs import same_run
from diffusion_audio.runs.chosen import Chosen, choose, split
from diffusion_audio.runs.workdir import read_config

# Those that are used as they are, and those that are also where training starts from.
FROZEN, STARTED = ("autoencoder", "vocoder"), ("conditioners", "denoiser")
COMPONENTS = FROZEN + STARTED
COMPUTED = ("dtype", "remat")  # of a denoiser: how, not what
SCALED = ("autoencoder", "denoiser")  # know the scale of their latents


def resolve(
    config: ConfigDict | Mapping[str, Any], workdir: Path | None = None
) -> dict[str, Any]:
    """The config as plain values, with nothing left to look up.

    The AudioSpec is spelt out, and the places under ``components`` (runs, which may
    say of which checkpoint (`runs.chosen`), converted weights, published systems or
    their ids on the hub) are replaced by the resolved configs found there, with a hash
    of the weights. A component takes the place of the group of its name, but for how a
    denoiser computes.

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
        known = [n for n in COMPONENTS if n in FROZEN or n in resolved]
        if name not in known:
            raise unknown("key in config.components", name, known)
        if not place:
            continue
        model = os.path.expanduser(place)
        part = same_run.own_component(workdir, name, str(split(model)[0]))
        if part is None:
            chosen = choose(model)
            chosen = chosen._replace(place=located(chosen.place))
        else:
            chosen = Chosen(Path(part["run"]))
        mine = f"this {resolved['task']} run"
        parts[name] = component(name, chosen, spec, mine, part)
    if "components" in resolved:
        resolved["components"] = parts
    if "autoencoder" in parts:
        resolved.pop("autoencoder", None)
    if "conditioners" in parts:
        resolved["conditioners"] = parts["conditioners"]["conditioners"]
    if "denoiser" in parts:
        own = resolved["denoiser"]
        computed = {name: own[name] for name in COMPUTED if own.get(name)}
        resolved["denoiser"] = parts["denoiser"]["denoiser"] | computed
    return resolved


def component(
    name: str,
    chosen: Chosen,
    spec: AudioSpec,
    mine: str,
    kept: dict[str, Any] | None = None,
    *,
    said: str = "",
) -> dict[str, Any]:
    """The resolved config of a trained part, where it lies and what it holds.

    Args:
        name: of the part, one of ``COMPONENTS``.
        chosen: its work directory and step, or a folder of converted weights or of a
            whole published system.
        spec: that it must have.
        mine: whose that is, for messages.
        kept: that config, where the run that goes on keeps the part.
        said: where the place was given, for messages; the config's key if empty.

    Raises:
        UserError: it is no run, has no such part, or another AudioSpec.
    """
    place = str(chosen.place)
    if kept is None and is_system(place):
        part = published_part(read_system(place), name)
    else:
        part = kept or read_config(place)
    if name not in part:
        said = said or f"config.components.{name}"
        raise UserError(
            f"{said} is {place}, a run of task {part['task']!r}; "
            f"give one that trains a part of this kind (its config has a group {name})"
        )
    spec.require_same(AudioSpec.from_dict(part["audio"]), mine=mine, theirs=name)
    if kept is not None:
        return kept
    step = {} if chosen.step is None else {"step": chosen.step}
    found = {"run": place, "hash": same_run.weights_hash(place, name, **step)}
    return part | found | step


def published_part(system: PublishedSystem, name: str) -> dict[str, Any]:
    """The config of one part of a published system, as a run that trained it has it.

    It runs in the default way (`pretrained.presets`), which is as it was trained.
    """
    config = preset(system.config, "default")
    group = config["components"][name][name] if name in FROZEN else config[name]
    part = {"task": "published", "audio": config["audio"], name: group}
    if name in SCALED:
        part["latent_scale"] = system.latent_scale
    return part
