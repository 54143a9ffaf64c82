"""Reads a published vocoder as ours, and says what it took for what."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import (
    config_file,
    hifigan,
    hifigan_config,
    weight_files,
)


class Published(NamedTuple):
    """A vocoder of others.

    Attributes:
        config: task, audio and vocoder, as a run's config.json has them.
        params: ``vocoder``, and ``discriminators`` where they were found.
    """

    config: dict[str, Any]
    params: dict[str, Params]


def read(
    source: str | Path,
    audio: str | None = None,
    *,
    cut: str | None = None,
    take: str | None = None,
) -> Published:
    """Reads a published vocoder.

    What it found, what it left and what it assumed is logged, a line each.

    Args:
        source: a file of weights, or a folder that has one; config.json lies beside.
        audio: preset of the AudioSpec and changes, where the config does not say all
            of it; see `hifigan_config.audio_spec`.
        cut: where the generator cuts an odd sample, where the config leaves it open;
            see `hifigan_config.generator_config`.
        take: under which key of the file the generator lies, where several do; see
            `find`.

    Raises:
        UserError: a file lacks, is damaged, hostile or of another model.
    """
    weights, left = weight_files.choose(Path(source))
    if left:
        logging.info("%s: took %s, left %s", source, weights.name, ", ".join(left))
    config_path = weights.parent / "config.json"
    if not config_path.exists():
        weight_files.read(weights)  # what are no weights needs no config
        raise UserError(
            f"{config_path} is missing: the weights do not say their own shape; put "
            "the published config there, under that name"
        )
    published = config_file.read(config_path)
    cfg = hifigan_config.generator_config(published, str(config_path), cut)
    spec, assumed = hifigan_config.audio_spec(
        published, cfg.hop_length, audio, str(config_path)
    )
    if assumed:
        logging.info(
            "%s does not say %s: assumed as HiFi-GAN's code does; --audio=field=value "
            "says otherwise",
            config_path,
            ", ".join(assumed),
        )
    found = hifigan.find_generator(cfg, weight_files.read(weights), str(weights), take)
    logging.info("%s: %s", weights, found)
    cfg, generator = found.model
    params = {"vocoder": generator}
    config: dict[str, Any] = {
        "task": "vocoder",
        "audio": spec.to_dict(),
        "vocoder": {"name": "hifigan", **dataclasses.asdict(cfg)},
        "origin": {
            "file": weights.name,
            "sha256": weight_files.sha256(*weight_files.parts(weights)),
        },
    }
    beside = weights.with_name(weights.name.replace("g_", "do_", 1))
    if weights.name.startswith("g_") and beside.is_file():
        params["discriminators"] = _discriminators(beside)
        config["discriminators"] = hifigan.PAPER
    return Published(config, params)


def refusal(directory: Path, config: Mapping[str, Any] | None) -> UserError:
    """The error for a directory of others where one of this program is expected.

    Args:
        directory: what was given.
        config: its config.json; None where there is none.
    """
    what = f"{directory} is not a run"
    ours = "expected the --workdir of a training run, or a folder that `convert` wrote"
    if config is None:
        published = weight_files.has_weights(directory)
    else:
        published = hifigan_config.is_vocoder(config)
    if directory.is_file():
        what = f"{directory} is a file and not a run"
        published = directory.suffix in weight_files.ENDINGS
    elif config is None and directory.is_dir():
        what += f": {directory / 'config.json'} is missing"
    elif config is None:
        what += ": no such directory"
    else:
        what += ": its config.json is of another program"
    hint = (
        f"; if this is a published vocoder, `diffusion-audio convert {directory} "
        "--out=DIR` makes DIR one"
    )
    return UserError(f"{what}; {ours}{hint if published else ''}")


def _discriminators(path: Path) -> Params:
    try:
        found = hifigan.find_discriminators(
            hifigan.PAPER, weight_files.read(path), str(path)
        )
    except UserError as error:
        raise UserError(
            f"{error}; without {path.name} beside it the generator converts alone"
        ) from error
    logging.info("%s: %s", path, found)
    return found.model
