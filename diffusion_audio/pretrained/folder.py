"""A folder of vocoder weights: what `convert` writes and a run can stand on.

``config.json`` says task, audio spec and settings as that of a run does; beside it are
``generator.safetensors`` and, where they are known, ``discriminators.safetensors``, in
the original's names, so that other programs can read them too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.pretrained import hifigan, isolated
from diffusion_audio.pretrained.rules import Arrays
from diffusion_audio.storage import write_whole, written_whole

CONFIG = "config.json"
GENERATOR = "generator.safetensors"
DISCRIMINATORS = "discriminators.safetensors"
FILES = (CONFIG, GENERATOR, DISCRIMINATORS)
"""All that `write` may write."""


def is_weights(directory: str | Path) -> bool:
    """Whether a directory is one of these, and not that of a run."""
    return (Path(directory) / GENERATOR).is_file()


def write(
    directory: str | Path,
    config: Mapping[str, Any],
    params: Mapping[str, Params],
) -> list[Path]:
    """Writes a vocoder; each file appears whole or not at all.

    Args:
        directory: made if need be.
        config: task, audio and vocoder, as of a resolved run; discriminators where
            there are any.
        params: ``vocoder``, and ``discriminators`` or not.

    Returns:
        The files.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    cfg = generator_config(config)
    made = [directory / GENERATOR]
    _save(made[0], hifigan.export_generator(cfg, params["vocoder"]))
    if "discriminators" in params:
        arrays = hifigan.export_discriminators(params["discriminators"])
        made.append(directory / DISCRIMINATORS)
        _save(made[-1], arrays)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    write_whole(directory / CONFIG, text)
    return [*made, directory / CONFIG]


def generator_config(config: Mapping[str, Any]) -> HiFiGANConfig:
    """The settings of a config's vocoder, which is a HiFi-GAN."""
    group = config["vocoder"]
    return HiFiGANConfig(**{name: group[name] for name in group if name != "name"})


def read_generator(
    directory: str | Path, config: Mapping[str, Any]
) -> tuple[HiFiGANConfig, Params]:
    """A folder's generator, in the form that its file has.

    Args:
        directory: the folder.
        config: its config.json.

    Raises:
        UserError: the weights are damaged, or not those of the config.
    """
    path = Path(directory) / GENERATOR
    try:
        cfg = generator_config(config)
    except (TypeError, KeyError) as error:  # edited by hand
        raise UserError(f"{Path(directory) / CONFIG}: vocoder: {error}") from error
    return hifigan.import_generator(cfg, isolated.read(path), str(path))


def read_discriminators(directory: str | Path, config: Mapping[str, Any]) -> Params:
    """A folder's discriminators, those that its config has settings of."""
    path = Path(directory) / DISCRIMINATORS
    return hifigan.import_discriminators(
        config["discriminators"], isolated.read(path), str(path)
    )


def _save(path: Path, arrays: Arrays) -> None:
    try:
        with written_whole(path) as place:
            safetensors.numpy.save_file(arrays, place)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
