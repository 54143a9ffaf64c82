"""Reads a published network of metrics, and writes one as a folder of ours.

A folder has ``config.json``, which says the encoder as a config's group does, and
``encoder.safetensors`` with the published names, so that other programs read it too.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.numpy
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.audio.panns_mel import PannsMel
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.models.cnn14 import Cnn14Config
from diffusion_audio.models.htsat import HTSATConfig
from diffusion_audio.models.passt import PasstConfig
from diffusion_audio.models.vggish import VGGishConfig
from diffusion_audio.pretrained import (
    config_file,
    isolated,
    metric_catalog,
    weight_files,
)
from diffusion_audio.pretrained.cnn14 import export_cnn14, find_cnn14
from diffusion_audio.pretrained.find import Found
from diffusion_audio.pretrained.htsat import export_clap_audio, find_clap_audio
from diffusion_audio.pretrained.metric_catalog import MetricNetwork
from diffusion_audio.pretrained.passt import export_passt, find_passt
from diffusion_audio.pretrained.rules import Arrays
from diffusion_audio.pretrained.sizes import require_sizes
from diffusion_audio.pretrained.vggish import export_vggish, find_vggish
from diffusion_audio.settings import of_group
from diffusion_audio.storage import write_whole, written_whole

TASK = "audio_encoder"
CONFIG, WEIGHTS = "config.json", "encoder.safetensors"
FILES = (CONFIG, WEIGHTS)
"""All that `write` may write."""


class Encoder(NamedTuple):
    """A network of metrics.

    Attributes:
        config: ``name`` of an entry of ``systems.audio_encoders`` and its settings.
        params: NumPy arrays in our tree.
        sha256: of the published file, or of all its files together.
        origin: its names, for provenance.
    """

    config: dict[str, Any]
    params: Params
    sha256: str
    origin: tuple[str, ...]


class _Kind(NamedTuple):
    """How weights of an entry are found in a file and exported to one."""

    find: Callable[[Mapping[str, Any], Arrays, str, str | None], Found[Params]]
    export: Callable[[Mapping[str, Any], Params], Arrays]
    telling: tuple[str, ...]  # names of which such a file has one, and no other kind


def _network(cls: type, config: Mapping[str, Any], group: str = "network") -> Any:
    return of_group(cls, config.get(group, {}), f"{config['name']}: {group}")


KINDS = {
    "cnn14": _Kind(
        lambda config, arrays, whose, take: find_cnn14(
            _network(Cnn14Config, config),
            _network(PannsMel, config, "mel"),
            arrays,
            whose,
            take,
        ),
        lambda config, params: export_cnn14(
            _network(Cnn14Config, config), _network(PannsMel, config, "mel"), params
        ),
        ("conv_block1.conv1.weight",),
    ),
    "vggish": _Kind(
        lambda config, arrays, whose, take: find_vggish(
            _network(VGGishConfig, config), arrays, whose, take
        ),
        lambda config, params: export_vggish(_network(VGGishConfig, config), params),
        ("embeddings.0.weight",),
    ),
    "passt": _Kind(
        lambda config, arrays, whose, take: find_passt(
            _network(PasstConfig, config), arrays, whose, take
        ),
        lambda config, params: export_passt(_network(PasstConfig, config), params),
        ("freq_new_pos_embed",),
    ),
    "clap": _Kind(
        lambda config, arrays, whose, take: find_clap_audio(
            _network(HTSATConfig, config, "audio"), arrays, whose, take
        ),
        lambda config, params: export_clap_audio(
            _network(HTSATConfig, config, "audio"), params
        ),
        (
            "audio_branch.patch_embed.proj.weight",
            "audio_model.audio_encoder.patch_embed.proj.weight",
        ),
    ),
}


def is_metric_network(place: str | Path) -> bool:
    """Whether a text or path is one: a name, a file, or a folder that `write` made.

    Of a file it looks at no more than the names of its arrays.
    """
    path = Path(place).expanduser()
    if (path / WEIGHTS).is_file() or metric_catalog.is_known(str(place)):
        return True
    if not path.is_file():
        return False
    if metric_catalog.named_after(path.name):
        return True
    try:
        names = isolated.shapes(path).keys()
    except UserError:  # whoever reads it says what it is
        return False
    telling = tuple(name for kind in KINDS.values() for name in kind.telling)
    return any(name.endswith(telling) for name in names)


def read(place: str | Path, take: str | None = None) -> Encoder:
    """A network of metrics.

    What was taken of a file and what was left is logged.

    Args:
        place: a name of the catalog, whose files are looked for in
            `metric_catalog.FOLDER`; a published file under any name; or a folder that
            `write` made.
        take: under which key of a file the network lies, where several do.

    Raises:
        UserError: there is none, or it is damaged, hostile or of another network.
    """
    path = Path(place).expanduser()
    if (path / WEIGHTS).is_file():
        return _of_folder(path)
    if path.is_file():
        return _of_file(path, take)
    if path.is_dir():
        raise UserError(
            f"{place} has no {WEIGHTS}; expected a folder that `diffusion-audio "
            "convert` wrote, or give the published file itself"
        )
    network = metric_catalog.find(str(place))
    return _of_network(
        network, metric_catalog.locate(network, metric_catalog.FOLDER), take
    )


def write(folder: str | Path, encoder: Encoder) -> list[Path]:
    """Writes a network into a folder; each file appears whole or not at all.

    Args:
        folder: made if need be.
        encoder: what `read` gave.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = KINDS[encoder.config["name"]].export(encoder.config, encoder.params)
    weights = folder / WEIGHTS
    try:
        with written_whole(weights) as place:
            safetensors.numpy.save_file(arrays, place)
    except OSError as error:
        raise UserError(f"cannot write {weights}: {error.strerror}") from error
    config = {
        "task": TASK,
        TASK: encoder.config,
        "sha256": weight_files.sha256(weights),
        "origin": {"files": encoder.origin, "sha256": encoder.sha256},
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    write_whole(folder / CONFIG, text)
    return [weights, folder / CONFIG]


def _of_folder(folder: Path) -> Encoder:
    path, weights = folder / CONFIG, folder / WEIGHTS
    config = config_file.read(path)
    group, origin = config.get(TASK), config.get("origin")
    if not isinstance(group, dict) or group.get("name") not in KINDS:
        raise UserError(
            f"{path}: expected a group {TASK!r} with a name (known: "
            f"{', '.join(KINDS)}), got {shortened(repr(group))}"
        )
    require_sizes(group, TASK, path)
    if not isinstance(origin, dict) or not isinstance(origin.get("sha256"), str):
        raise UserError(f"{path} says no origin; convert the published file again")
    if config.get("sha256") != weight_files.sha256(weights):
        raise UserError(
            f"{weights} is not what was written with its config; convert the "
            "published file again"
        )
    arrays = isolated.read(weights)
    try:
        found = KINDS[group["name"]].find(group, arrays, str(weights), None)
    except (TypeError, AttributeError) as error:  # edited by hand
        raise UserError(f"{path}: {TASK}: {error}") from error
    files = tuple(map(str, origin.get("files", ())))
    return Encoder(group, found.model, origin["sha256"], files)


def _of_file(path: Path, take: str | None) -> Encoder:
    """A published file: of the network that it is called after, or that fits."""
    known = metric_catalog.named_after(path.name)
    if known is not None:
        paths = metric_catalog.locate(known, path.parent)
        return _of_network(known, paths, take)
    arrays = isolated.read(path)
    fitting = [each for each in metric_catalog.NETWORKS if _tells(each, arrays)]
    if not fitting:
        names = ", ".join(each.name for each in metric_catalog.NETWORKS)
        raise UserError(
            f"{path} is of no network of metrics that is known here ({names})"
        )
    for network in fitting[:-1]:
        with contextlib.suppress(UserError):
            return _fitted(network, (path,), arrays, take)
    return _fitted(fitting[-1], (path,), arrays, take)


def _tells(network: MetricNetwork, arrays: Arrays) -> bool:
    """Whether a file can be a network's: of its kind, and all that is needed."""
    telling = KINDS[network.encoder["name"]].telling
    return len(network.files) == 1 and any(n.endswith(telling) for n in arrays)


def _of_network(
    network: MetricNetwork, paths: tuple[Path, ...], take: str | None
) -> Encoder:
    arrays: Arrays = {}
    for path in paths:
        _compare_hash(path)
        arrays |= isolated.read(path)
    return _fitted(network, paths, arrays, take)


def _compare_hash(path: Path) -> None:
    """Says where a file is another than the published one of its name."""
    kind, _, expected = metric_catalog.HASHES.get(path.name, "").partition(":")
    if not expected:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if not found.startswith(expected):
        logging.warning(
            "%s is not the published file of that name, or damaged: its %s is %s, not "
            "%s; numbers by it compare with each other alone",
            *(path, kind, found[: len(expected)], expected),
        )


def _fitted(
    network: MetricNetwork, paths: tuple[Path, ...], arrays: Arrays, take: str | None
) -> Encoder:
    config = network.encoder
    found = KINDS[config["name"]].find(config, arrays, str(paths[0]), take)
    logging.info("%s: %s (%s)", paths[0], found, network.about)
    files = tuple(path.name for path in paths)
    return Encoder(config, found.model, weight_files.sha256(*paths), files)
