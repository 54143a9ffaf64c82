"""The trained parts that a run stands on, read from where they were trained."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import folder
from diffusion_audio.pretrained.read_system import is_system, read_system
from diffusion_audio.pretrained.rules import require_same
from diffusion_audio.runs import same_run
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.read import read_part, read_saved, read_weights
from diffusion_audio.runs.resolve import COMPONENTS
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.systems import autoencoders, denoisers, vocoders
from diffusion_audio.systems.conditioning import build_conditioning
from diffusion_audio.systems.dtype import placed
from diffusion_audio.systems.system import build as system
from diffusion_audio.systems.table import build

SCALE = "latent_scale"


def load_components(
    config: Mapping[str, Any],
    workdir: Path | None = None,
    names: Collection[str] = COMPONENTS,
) -> Params:
    """The trained parameters a run stands on, by name, ready for inference.

    Args:
        config: resolved.
        workdir: of the run that goes on; what is no more in its place, or not the
            same there, is taken from the checkpoint there.
        names: of the components that are wanted.

    Raises:
        UserError: a component is none, or another than the config was resolved with.
    """
    frozen: Params = {}
    for name, part in config.get("components", {}).items():
        if name not in names:
            continue
        if same_run.unchanged(name, part):
            frozen[name] = _LOADED[name](part["run"], part)
        elif workdir is not None:
            frozen[name] = read_saved(workdir, "frozen", name)
        else:
            raise UserError(
                f"the {name} in {part['run']} is not there, or not the one that "
                f"this run began with (hash {part.get('hash')}); bring that back, "
                f"let its training end, or name it by --config.components.{name}"
            )
        if "latent_scale" in part and (name == "denoiser" or SCALE not in frozen):
            frozen[SCALE] = jnp.float32(part["latent_scale"])
    return frozen


def component_extras(config: Mapping[str, Any]) -> Mapping[str, str] | None:
    """The tokenizers' files of the conditioners that a run starts from, if any."""
    part = config.get("components", {}).get("conditioners")
    if part is None:
        return None
    if is_system(part["run"]):
        return read_system(part["run"]).extras
    return Extras(part["run"])


def load_autoencoder(directory: str | Path, config: Mapping[str, Any]) -> Params:
    """The parameters of an autoencoder's run.

    Args:
        directory: the work directory.
        config: its resolved config, and which ``step`` is meant, if not the newest.
    """
    group = config["autoencoder"]
    part = build(autoencoders.TABLE, group, f"{directory}: config.autoencoder")
    shapes = abstract_params(part.network)
    if is_system(directory):
        return _published(directory, "autoencoder", shapes)
    return read_part(directory, "autoencoder", shapes, step=config.get("step"))


def load_vocoder(
    directory: str | Path,
    config: Mapping[str, Any],
    place: Sharding | None = None,
) -> Params:
    """The parameters of a vocoder as it is used; see `read_vocoder`."""
    return read_vocoder(directory, config, place)[1]


def read_vocoder(
    directory: str | Path,
    config: Mapping[str, Any],
    place: Sharding | None = None,
) -> tuple[int | None, Params]:
    """The parameters of a vocoder as it is used, of its run or of converted weights.

    Args:
        directory: the work directory, or the folder that `convert` wrote.
        config: what its config.json says, and which ``step`` is meant.
        place: where they go; the first device where None.

    Returns:
        The step that was read, None where the weights have none, and the parameters.
    """
    group = config["vocoder"]
    part = build(vocoders.TABLE, group, f"{directory}: config.vocoder")
    if is_system(directory):
        shapes = abstract_params(part.inference)
        return None, _published(directory, "vocoder", shapes, place)
    if folder.is_weights(directory):
        params = jax.tree.map(jnp.asarray, folder.read_generator(directory, config)[1])
        return None, part.to_inference(params)
    like = {"vocoder": abstract_params(part.network)}
    weights = read_weights(directory, like, place=place, step=config.get("step"))
    return weights.step, part.to_inference(weights.params["vocoder"])


def load_discriminators(directory: str | Path, step: int | None = None) -> Params:
    """The discriminators that a vocoder was trained with; empty where not known.

    Args:
        directory: the work directory, or the folder that `convert` wrote.
        step: of the checkpoint; the newest where None.
    """
    if is_system(directory):
        return {}
    if not folder.is_weights(directory):
        return read_saved(directory, "params", "discriminators", step)
    config = read_config(directory)
    if "discriminators" not in config:
        return {}
    return jax.tree.map(jnp.asarray, folder.read_discriminators(directory, config))


def load_conditioners(directory: str | Path, config: Mapping[str, Any]) -> Params:
    """The parameters of all conditioners of a system, by label.

    Args:
        directory: a run's work directory, or a published system.
        config: its resolved config, and which ``step`` is meant.
    """
    if is_system(directory):
        return {
            label: _published(
                directory, f"conditioners/{label}", abstract_params(part.network)
            )
            for label, part in build_conditioning(config).parts.items()
        }
    params, frozen = system(read_config(directory)).shapes()
    like = {"conditioners": params["conditioners"]}
    kept = {"conditioners": frozen["conditioners"]} if "conditioners" in frozen else {}
    weights = read_weights(directory, like, kept, step=config.get("step"))
    others: Params = weights.frozen.get("conditioners", {})
    return others | weights.params["conditioners"]


def load_denoiser(directory: str | Path, config: Mapping[str, Any]) -> Params:
    """The parameters of a denoiser; see `load_conditioners`."""
    group = config["denoiser"]
    part = build(denoisers.TABLE, group, f"{directory}: config.denoiser")
    shapes = abstract_params(part.network)
    if is_system(directory):
        return _published(directory, "denoiser", shapes)
    return read_part(directory, "denoiser", shapes, step=config.get("step"))


def _published(
    directory: str | Path, name: str, like: Params, place: Sharding | None = None
) -> Params:
    """A part of a published system, in the type that parameters are trained in.

    Raises:
        UserError: it has other parameters than its config says, ``like``.
    """
    params = read_system(directory).parts[name]()
    require_same(params, like, f"{directory}: {name}")
    return placed(params, place, "float32")


_LOADED: dict[str, Callable[[str, Mapping[str, Any]], Params]] = {
    "autoencoder": load_autoencoder,
    "vocoder": load_vocoder,
    "conditioners": load_conditioners,
    "denoiser": load_denoiser,
}
