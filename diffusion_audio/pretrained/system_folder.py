"""A folder of a whole system in our own form: what `convert` writes.

``config.json`` says the system as a run's does. A part's parameters lie under
``weights/``, in safetensors files of a few hundred megabytes named after our trees, so
that they are read without a change of layout and no more than one at a time; the
tokenizers under ``extras/``. ``weights.json`` lists all of them with their SHA-256.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained import config_file, safetensors_file, weight_files
from diffusion_audio.pretrained.published_system import Part, PublishedSystem
from diffusion_audio.pretrained.safetensors_file import BFLOAT16, TYPES
from diffusion_audio.pretrained.sizes import require_sizes
from diffusion_audio.storage import write_whole, written_whole

CONFIG, MANIFEST = "config.json", "weights.json"
WEIGHTS, EXTRAS = "weights", "extras"
NAMES = (CONFIG, MANIFEST)
"""Files by which a folder of these is known."""
LARGEST_FILE = 256 << 20  # bytes of arrays, but for an array that is larger
SCALE = "latent_scale"
FORM = 1  # of this layout
LARGEST_TEXT = 64 << 20  # bytes of a tokenizer


class Written(NamedTuple):
    """A file of a folder.

    Attributes:
        path: in the folder.
        sha256: of its content.
    """

    path: str
    sha256: str


def is_system_folder(folder: str | Path) -> bool:
    """Whether a directory is one of these."""
    return (Path(folder) / MANIFEST).is_file()


def write(
    folder: str | Path, system: PublishedSystem, dtype: str | None = None
) -> list[Path]:
    """Writes a system, a part at a time; the manifest comes last.

    Args:
        folder: made if need be.
        system: what to write.
        dtype: of the weights, ``"float32"`` or ``"bfloat16"``, but that vectors
            (biases, norms) are float32; as they are where None.

    Returns:
        The files.
    """
    folder = Path(folder)
    parts: dict[str, list[dict[str, Any]]] = {}
    for name in system.parts:
        made = _write_part(folder, name, system, dtype)
        parts[name] = [written._asdict() for written in made]
    for name, text in system.extras.items():
        path = folder / EXTRAS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    config = dict(system.config) | {SCALE: system.latent_scale}
    _write_json(folder / CONFIG, config)
    manifest = {
        "form": FORM,
        "config": _hash_file(folder / CONFIG),
        "extras": {n: _hash_file(folder / EXTRAS / n) for n in sorted(system.extras)},
        "parts": parts,
    }
    _write_json(folder / MANIFEST, manifest)
    return list(listed(folder))


def listed(folder: str | Path) -> Iterator[Path]:
    """All files of a folder that its manifest lists, and that itself."""
    folder = Path(folder)
    yield from (folder / name for name in hashes(folder))
    yield folder / MANIFEST


def hashes(folder: str | Path) -> dict[str, str]:
    """SHA-256 of the files that a folder's manifest lists, by path in the folder.

    Raises:
        UserError: the manifest is none, or names what is not in the folder.
    """
    manifest = _manifest(Path(folder))
    parts = [entry for part in manifest["parts"].values() for entry in part]
    return {
        **{entry["path"]: entry["sha256"] for entry in parts},
        **{f"{EXTRAS}/{name}": sha256 for name, sha256 in manifest["extras"].items()},
        CONFIG: manifest["config"],
    }


def read_system_folder(folder: str | Path) -> PublishedSystem:
    """A system of a folder of ours.

    Raises:
        UserError: a file lacks or is not what was written.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    _require_hash(folder / CONFIG, manifest["config"])
    config = config_file.read(folder / CONFIG)
    for group in ("conditioners", "denoiser", "components", "ranker", "schedule"):
        require_sizes(config.get(group), group, folder / CONFIG)
    scale = config.pop(SCALE, None)
    data = config.get("data")
    seconds = data.get("seconds") if isinstance(data, dict) else None
    for number in (scale, seconds):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _damaged(folder / CONFIG)
        if not 0 < number < math.inf:
            raise _damaged(folder / CONFIG)
    extras = {}
    for name, digest in manifest["extras"].items():
        path = folder / EXTRAS / name
        _require_hash(path, digest)
        extras[name] = path.read_text(encoding="utf-8")

    def part(name: str) -> Part:
        return lambda: _read_part(folder, manifest["parts"][name])

    parts = {name: part(name) for name in manifest["parts"]}
    files = {
        name: tuple(folder / entry["path"] for entry in entries)
        for name, entries in manifest["parts"].items()
    }
    return PublishedSystem(config, parts, files, scale, extras)


def _write_part(
    folder: Path, name: str, system: PublishedSystem, dtype: str | None
) -> Iterator[Written]:
    """Writes a part's files, each freed before the next is made."""
    leaves = _flat(system.parts[name]())
    groups: list[list[str]] = [[]]
    size = 0
    for path, array in leaves.items():
        if groups[-1] and size + array.nbytes > LARGEST_FILE:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += array.nbytes
    for number, group in enumerate(groups, start=1):
        file = f"{WEIGHTS}/{name.replace('/', '.')}"
        if len(groups) > 1:
            file += f"-{number:05d}-of-{len(groups):05d}"
        place = folder / f"{file}.safetensors"
        place.parent.mkdir(parents=True, exist_ok=True)
        arrays = {path: _typed(leaves.pop(path), dtype) for path in group}
        try:
            with written_whole(place) as temporary:
                safetensors.numpy.save_file(arrays, temporary)
        except OSError as error:
            raise UserError(f"cannot write {place}: {error.strerror}") from error
        yield Written(place.relative_to(folder).as_posix(), _hash_file(place))


def _typed(array: Any, dtype: str | None) -> np.ndarray:
    array = np.ascontiguousarray(array)
    if dtype is None:
        return array
    return array.astype(jnp.dtype(dtype if array.ndim > 1 else "float32"))


def _read_part(folder: Path, entries: list[dict[str, Any]]) -> Params:
    params: Params = {}
    for entry in entries:
        path = folder / entry["path"]
        content = safetensors_file.content(path)
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise _damaged(path)
        for name, tensor in safetensors_file.deserialized(content, path):
            *parents, leaf = name.split("/")
            node = params
            for parent in parents:
                node = node.setdefault(parent, {})
                if not isinstance(node, dict):
                    raise _damaged(path)
            if leaf in node:
                raise _damaged(path)
            node[leaf] = _array(tensor, path)
    return params


def _array(tensor: Mapping[str, Any], path: Path) -> np.ndarray:
    kind = tensor["dtype"]
    if kind not in (*TYPES, BFLOAT16):
        raise _damaged(path)
    dtype = jnp.dtype("bfloat16" if kind == BFLOAT16 else TYPES[kind])
    return np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])


def _flat(params: Params) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in leaves}


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = config_file.read(path)
    parts = manifest.get("parts")
    if manifest.get("form") != FORM or not isinstance(parts, dict):
        raise UserError(
            f"{path} is of another form ({manifest.get('form')!r}, expected {FORM}); "
            "make the folder again with `diffusion-audio convert`"
        )
    try:
        entries = [entry for part in parts.values() for entry in part]
        files = [(entry["path"], entry["sha256"]) for entry in entries]
        files += [(CONFIG, manifest["config"]), *manifest["extras"].items()]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    for name, digest in files:
        if not isinstance(digest, str):
            raise _damaged(path)
        # A name is of folders' names: neither absolute, nor a way up or out.
        if not isinstance(name, str) or not all(
            weight_files.is_name(each) for each in name.split("/")
        ):
            raise UserError(
                f"{path} names {shortened(repr(name))}; expected files of the folder"
            )
    return manifest


def _write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def _content(path: Path, most: int = LARGEST_TEXT) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or device has no end
            raise _damaged(path)
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; convert the model again") from error


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_hash(path: Path, digest: str) -> None:
    if hashlib.sha256(_content(path)).hexdigest() != digest:
        raise _damaged(path)


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is not what was written: it was changed or is damaged; convert the "
        "model again"
    )
