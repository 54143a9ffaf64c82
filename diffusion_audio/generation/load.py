"""A pipeline of wherever a model lies: a run, a published folder, ours, or the hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.generation.pipeline import Pipeline
from diffusion_audio.generation.ranking import Ranking
from diffusion_audio.pretrained.hub import located
from diffusion_audio.pretrained.presets import preset as of_preset
from diffusion_audio.pretrained.read_system import is_system, read_system
from diffusion_audio.pretrained.rules import require_same
from diffusion_audio.runs.chosen import choose
from diffusion_audio.runs.components import load_vocoder
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.read import read_weights
from diffusion_audio.runs.resolve import component
from diffusion_audio.runs.workdir import read_config, require_part
from diffusion_audio.settings import settings
from diffusion_audio.systems.devices import everywhere, local_mesh
from diffusion_audio.systems.dtype import of_dtype, placed
from diffusion_audio.systems.ranker import build_ranker
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import System, build


def load(
    model: str | Path,
    vocoder: str | Path | None = None,
    *,
    preset: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Pipeline:
    """The pipeline of a model that makes audio of text.

    What generation needs is read, and nothing else: averages or parameters, and the
    frozen parts.

    Args:
        model: work directory of a diffusion run, read at its newest step, or
            ``RUN@best`` or ``RUN@STEP`` (`runs.chosen`); folder of a published system,
            as published or as `convert` wrote it; or its id on the hub, which is
            downloaded once.
        vocoder: a vocoder's run, of which step as above, or converted weights, in place
            of the model's own.
        preset: of a published system, one of `pretrained.presets.PRESETS`: in whose way
            it runs.
        dtype: ``"float32"`` or ``"bfloat16"``, of weights and computation; as they are
            where None.
        revision: of what is on the hub; the catalog's where None.
        devices: over which a batch is split, with the parameters whole on each; all of
            this process where None.

    Raises:
        UserError: no such model, nothing saved yet, or another AudioSpec.
    """
    chosen = choose(model)
    place = located(chosen.place, revision)
    mesh = local_mesh(devices)
    if is_system(place):
        return _published(place, vocoder, preset or "default", dtype, mesh)
    if preset is not None:
        raise UserError(
            f"--preset is for published systems, and {model} is none; a run is "
            "generated with as it was trained"
        )
    if not place.is_dir():
        here = "is no file of a published system" if place.exists() else "is not here"
        raise UserError(
            f"{model} {here}; expected the --workdir of a diffusion run, the folder or "
            "file of a published system, or an id of the hub such as cvssp/audioldm2 "
            "(`diffusion-audio models` lists them)"
        )
    return _run(place, chosen.step, vocoder, dtype, mesh)


def _published(
    place: Path,
    vocoder: str | Path | None,
    preset: str,
    dtype: str | None,
    mesh: Mesh,
) -> Pipeline:
    published = read_system(place)
    config = of_preset(published.config, preset)
    config, part = _with_vocoder(config, place, vocoder)
    config = config if dtype is None else of_dtype(config, dtype)
    try:
        system = build(config)
        trained, kept = system.shapes()
    except UserError:
        raise
    except (
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{place} has a config of no system that can be: {error!r}"
        ) from error
    if not system.conditioning.independent:  # then a batch must not be split
        mesh = local_mesh(list(mesh.devices.flat)[:1])

    def read(name: str) -> Params:
        if name not in published.parts:
            raise UserError(
                f"{place} has no weights of its {name}; expected those of "
                f"{', '.join(published.parts) or 'all parts'} and of that"
            )
        params = published.parts[name]()
        for shapes in (trained, kept):
            if (like := _under(shapes, name)) is not None:
                require_same(params, like, f"{place}: {name}")
        return placed(params, everywhere(mesh), dtype)

    frozen: Params = {"latent_scale": jnp.float32(published.latent_scale)}
    params: Params = {"conditioners": {}}
    for label in system.conditioning.parts:
        learned = label in system.conditioning.trained
        group = (params if learned else frozen).setdefault("conditioners", {})
        group[label] = read(f"conditioners/{label}")
    params["denoiser"] = read("denoiser")
    if system.autoencoder.trained:
        frozen["autoencoder"] = read("autoencoder")
    if part is not None:
        frozen["vocoder"] = load_vocoder(part["run"], part, everywhere(mesh))
    elif system.vocoder is not None:
        frozen["vocoder"] = read("vocoder")
    ranking = None
    if "ranker" in published.parts:
        ranking = Ranking(build_ranker(config["ranker"]), lambda: read("ranker"))
    return _pipeline(
        system, config, params, frozen, published.extras, place, None, mesh, ranking
    )


def _under(shapes: Params, name: str) -> Params | None:
    """What a tree has of a part; None where the other tree has it."""
    for each in name.split("/"):
        shapes = shapes.get(each, {})
    return shapes or None


def _run(
    place: Path,
    step: int | None,
    vocoder: str | Path | None,
    dtype: str | None,
    mesh: Mesh,
) -> Pipeline:
    config = read_config(place)
    require_part(config, place, "denoiser", "text to audio needs one that trained")
    config, part = _with_vocoder(config, place, vocoder)
    config = config if dtype is None else of_dtype(config, dtype)
    system = build(config)
    params, frozen = system.shapes()
    if part is not None:
        frozen.pop("vocoder")
    weights = read_weights(place, params, frozen, everywhere(mesh), step)
    params, frozen = weights.params, dict(weights.frozen)
    if part is not None:
        frozen["vocoder"] = load_vocoder(part["run"], part, everywhere(mesh))
    if dtype is not None:
        params, frozen = (
            placed(tree, everywhere(mesh), dtype) for tree in (params, frozen)
        )
    extras = Extras(place)
    return _pipeline(system, config, params, frozen, extras, place, weights.step, mesh)


def _with_vocoder(
    config: dict[str, Any], place: Path, vocoder: str | Path | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A config with another vocoder in it, and that one's config; None for its own."""
    if vocoder is None:
        return config, None
    spec = AudioSpec.from_dict(config["audio"])
    part = component("vocoder", choose(vocoder), spec, str(place), said="--vocoder")
    parts = config.get("components", {}) | {"vocoder": part}
    return config | {"components": parts}, part


def _pipeline(
    system: System,
    config: Mapping[str, Any],
    params: Params,
    frozen: Params,
    extras: Mapping[str, str],
    place: Path,
    step: int | None,
    mesh: Mesh,
    ranking: Ranking | None = None,
) -> Pipeline:
    return Pipeline(
        system=system,
        config=config,
        params=params,
        frozen=frozen,
        tokenizers=system.conditioning.read(extras, str(place)),
        sampling=settings(SamplingConfig, config, "sampling"),
        seconds=config["data"]["seconds"],
        step=step,
        ranking=ranking,
        mesh=mesh,
    )
