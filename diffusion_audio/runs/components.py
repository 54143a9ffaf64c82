"""The trained parts that a run stands on, read from where they were trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import folder
from diffusion_audio.runs import same_run
from diffusion_audio.runs.read import read_part, read_saved
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.systems import autoencoders, vocoders
from diffusion_audio.systems.table import build


def load_components(config: Mapping[str, Any], workdir: Path | None = None) -> Params:
    """The trained parameters a run stands on, by name, ready for inference.

    Args:
        config: resolved.
        workdir: of the run that goes on; what is no more in its place, or not the
            same there, is taken from the checkpoint there.

    Raises:
        UserError: a component is none, or another than the config was resolved with.
    """
    frozen = {}
    for name, part in config.get("components", {}).items():
        if same_run.unchanged(part):
            frozen[name] = _LOADED[name](part["run"], part)
        elif workdir is not None:
            frozen[name] = read_saved(workdir, "frozen", name)
        else:
            raise UserError(
                f"the {name} in {part['run']} is not there, or not the one that "
                f"this run began with (hash {part.get('hash')}); bring that back, "
                f"let its training end, or name it by --config.components.{name}"
            )
    return frozen


def load_autoencoder(directory: str | Path, config: Mapping[str, Any]) -> Params:
    """The parameters of an autoencoder's run.

    Args:
        directory: the work directory.
        config: its resolved config.
    """
    group = config["autoencoder"]
    part = build(autoencoders.TABLE, group, f"{directory}: config.autoencoder")
    return read_part(directory, "autoencoder", abstract_params(part.network))


def load_vocoder(
    directory: str | Path,
    config: Mapping[str, Any],
    device: jax.Device | None = None,
) -> Params:
    """The folded parameters of a vocoder, of its run or of converted weights.

    Args:
        directory: the work directory, or the folder that `convert` wrote.
        config: what its config.json says.
        device: where they go; the first one where None.
    """
    group = config["vocoder"]
    part = build(vocoders.TABLE, group, f"{directory}: config.vocoder")
    if folder.is_weights(directory):
        params = jax.tree.map(jnp.asarray, folder.read_generator(directory, config)[1])
    else:
        shapes = abstract_params(part.network)
        params = read_part(directory, "vocoder", shapes, device)
    return part.fold(params)


def load_discriminators(directory: str | Path) -> Params:
    """The discriminators that a vocoder was trained with; empty where not known.

    Args:
        directory: the work directory, or the folder that `convert` wrote.
    """
    if not folder.is_weights(directory):
        return read_saved(directory, "params", "discriminators")
    config = read_config(directory)
    if "discriminators" not in config:
        return {}
    return jax.tree.map(jnp.asarray, folder.read_discriminators(directory, config))


_LOADED = {"autoencoder": load_autoencoder, "vocoder": load_vocoder}
