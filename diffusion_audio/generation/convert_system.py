"""Whole systems, published or of a run, written in our layout or in diffusers'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import unknown
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.pretrained import diffusers_folder, system_folder
from diffusion_audio.pretrained.published_system import Part, PublishedSystem
from diffusion_audio.pretrained.read_system import is_system, read_system
from diffusion_audio.runs.chosen import Chosen
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.read import read_weights
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.systems.dtype import of_dtype
from diffusion_audio.systems.system import build

LAYOUTS = ("ours", "diffusers")
# Groups of a run's config that generation needs; what is of training stays there.
GROUPS = (
    *("audio", "autoencoder", "conditioners", "denoiser", "loss", "sampling"),
    *("schedule", "task"),
)


def convert_system(
    chosen: Chosen,
    out: Path,
    *,
    dtype: str | None = None,
    layout: str = "ours",
    overwrite: bool = False,
) -> Path:
    """Writes a system into a folder.

    Args:
        chosen: a published system, a folder that this wrote, or a diffusion run and
            its step.
        out: the folder.
        dtype: of the weights, see `systems.dtype`; as they are where None.
        layout: ``"ours"``, read without any change (`pretrained.system_folder`), or
            ``"diffusers"``, for programs of others (`pretrained.diffusers_folder`).
        overwrite: files that were not made here may be replaced; see `outputs`.

    Returns:
        ``out``.

    Raises:
        UserError: there is no such layout, the system cannot be had in it, or a file
            cannot be written.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    place, step = chosen
    system = read_system(place) if is_system(place) else _of_run(place, step)
    if dtype is not None:
        system = system._replace(config=of_dtype(system.config, dtype))
    folder = system_folder if layout == "ours" else diffusers_folder
    names = [name for name in folder.NAMES if (out / name).exists()]
    require_writable(
        [out / name for name in names], inputs=[place], overwrite=overwrite
    )
    for path in folder.write(out, system, dtype):
        record(path, "convert")
    return out


def _of_run(place: Path, step: int | None) -> PublishedSystem:
    """A diffusion run as a system: its averages, and what it stands on."""
    trained = read_config(place)
    config = {name: trained[name] for name in GROUPS if name in trained}
    config["data"] = {"seconds": trained["data"]["seconds"]}
    config["components"] = {
        name: {name: part[name]}
        for name, part in trained.get("components", {}).items()
        if name in ("autoencoder", "vocoder")
    }
    params, frozen = build(trained).shapes()
    weights = read_weights(place, params, frozen, step=step)
    labels = frozen.get("conditioners", {}) | params["conditioners"]
    trees: dict[str, Params] = {"denoiser": weights.params["denoiser"]}
    for name in ("autoencoder", "vocoder"):
        if name in weights.frozen:
            trees[name] = weights.frozen[name]
    for label in labels:
        group = weights.params["conditioners"]
        if label not in group:
            group = weights.frozen["conditioners"]
        trees[f"conditioners/{label}"] = group[label]

    def part(tree: Params) -> Part:
        return lambda: jax.tree.map(np.array, tree)

    return PublishedSystem(
        config=config,
        parts={name: part(tree) for name, tree in trees.items()},
        files={},
        latent_scale=float(weights.frozen["latent_scale"]),
        extras=_texts(Extras(place)),
    )


def _texts(extras: Mapping[str, Any]) -> dict[str, str]:
    return {name: extras[name] for name in extras if name.startswith("conditioners/")}
