"""Finds the files of a published vocoder, and reads them as ours."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import hifigan, isolated

# Where a folder keeps its generator: transformers', Auffusion's, then the newest g_*.
GENERATORS = ("model.safetensors", "pytorch_model.bin", "vocoder.pt")
LARGEST_CONFIG = 1 << 20


class Published(NamedTuple):
    """A vocoder of others.

    Attributes:
        config: task, audio and generator, as a run's config.json has them.
        params: ``generator``, and ``discriminators`` where they were found.
    """

    config: dict[str, Any]
    params: dict[str, Params]


def read(source: str | Path, audio: str | None = None) -> Published:
    """Reads a published vocoder.

    Args:
        source: a file of weights, or a folder that has one; config.json lies beside.
        audio: preset of the AudioSpec, where the config does not say all of it.

    Raises:
        UserError: a file lacks, is damaged, hostile or of another model.
    """
    weights = _weights(Path(source))
    config_path = weights.parent / "config.json"
    published = _read_config(config_path)
    cfg = hifigan.generator_config(published, str(config_path))
    spec = hifigan.audio_spec(published, cfg.hop_length, audio, str(config_path))
    arrays = isolated.read(weights)
    cfg, generator = hifigan.import_generator(cfg, arrays, str(weights))
    params = {"generator": generator}
    judges = weights.with_name(weights.name.replace("g_", "do_", 1))
    if weights.name.startswith("g_") and judges.is_file():
        params["discriminators"] = hifigan.import_discriminators(
            hifigan.PAPER, isolated.read(judges), str(judges)
        )
    config: dict[str, Any] = {
        "task": "vocoder",
        "audio": spec.to_dict(),
        "generator": dataclasses.asdict(cfg),
        "origin": {"file": weights.name, "sha256": _sha256(weights)},
    }
    if "discriminators" in params:
        config["discriminators"] = hifigan.PAPER
    return Published(config, params)


def _weights(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    numbered = sorted(source.glob("g_" + "[0-9]" * 8))
    found = [p for name in GENERATORS if (p := source / name).is_file()] + numbered[-1:]
    if not found:
        raise UserError(
            f"{source} has no vocoder in it: expected {', '.join(GENERATORS)} or "
            "g_00000000"
        )
    return found[0]


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise UserError(f"{path} is too large for a config")
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path} lacks: the weights do not say their own shape; put the published "
            "config.json there"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is no config: expected a JSON object")
    return config


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
