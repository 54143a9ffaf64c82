"""A recipe: the config that a ``FILE.py:PRESETS`` makes, and changes to it by name.

A config file is a program and is run: use those you trust. Misspelt names are found
before ml_collections sees them, to say which name was meant.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

import diffusion_audio
from diffusion_audio.errors import UserError, unknown

REPOSITORY = Path(diffusion_audio.__file__).parents[1]


def load(spec: str) -> ConfigDict:
    """The config that a file makes for some presets.

    Args:
        spec: ``FILE.py`` or ``FILE.py:PRESET,PRESET``.

    Raises:
        UserError: there is no such file or preset, or the file fails.
    """
    name, _, presets = spec.partition(":")
    path = Path(name).expanduser()
    if not path.is_file():
        beside = sorted(map(str, path.parent.glob("*.py")))
        if not beside:
            raise UserError(
                f"no config file {name!r} (nor any other *.py there); recipes are "
                "found from the repository's root"
            )
        raise unknown("config file", name, beside)
    try:
        module = execute(path)
        _check_presets(name, module, presets)
        config = module.get_config(presets) if presets else module.get_config()
    except UserError:
        raise
    except Exception as error:  # whatever it is, it is the file's
        raise UserError(f"{spec}: {type(error).__name__}: {error}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"{name}: get_config must return a ConfigDict, not {type(config).__name__}"
        )
    return config


def execute(path: Path) -> ModuleType:
    """Runs a config file, or one of parts, as a module.

    It may import those of this repository as ``configs.NAME``, and neighbours of its
    own as ``FOLDER.NAME``.
    """
    name = f"config_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look for it there
    roots = [str(path.resolve().parent.parent), str(REPOSITORY)]
    sys.path.extend(roots)
    try:
        specification.loader.exec_module(module)
    finally:
        for root in roots:
            sys.path.remove(root)
    return module


def _check_presets(name: str, module: ModuleType, presets: str) -> None:
    """Refuses a preset that a file with a list of ``PRESETS`` does not have."""
    known = getattr(module, "PRESETS", None)
    for preset in filter(None, presets.split(",")):
        if known is not None and preset not in known:
            raise unknown(f"preset of {name}", preset, known)


def override(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy of a config with dotted keys set, such as ``{"train.steps": 10}``.

    A mapping takes the place of a whole group: the keys of one noise schedule need not
    be those of another.

    Raises:
        UserError: a key does not exist, or its value is of another type.
    """
    changed = config.copy_and_resolve_references()
    for key, value in changes.items():
        check_key(changed, key)
        *groups, name = key.split(".")
        node = changed
        for group in groups:
            node = node[group]
        if isinstance(node[name], ConfigDict) and isinstance(value, Mapping):
            node[name] = ConfigDict(dict(value))
            continue
        if isinstance(node[name], ConfigDict):
            inside = ", ".join(f"{key}.{item}" for item in node[name])
            raise UserError(f"config.{key} is a group, not a value; set {inside}")
        try:
            node[name] = value
        except TypeError as error:
            raise UserError(
                f"config.{key} is {node[name]!r}, so it cannot be {value!r}: expected "
                f"a value of type {type(node[name]).__name__}"
            ) from error
    return changed


def check_key(config: ConfigDict, key: str) -> None:
    """Refuses a dotted key that the config does not have."""
    node: Any = config
    group = "config"
    for part in key.split("."):
        if not isinstance(node, ConfigDict):
            raise UserError(f"{group} is a value, so it has no {part!r} in it")
        if part not in node:
            leaf = key.rsplit(".", 1)[-1]
            elsewhere = [path for path in _paths(config) if path.endswith(f".{leaf}")]
            raise unknown(f"key of {group}", part, [*node, *elsewhere])
        group = f"{group}.{part}"
        node = node[part]


def _paths(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    """Dotted names of all values."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
