"""``--config=FILE.py[:PRESETS]`` and ``--config.a.b=value``.

A config file is a program and is run: use those you trust. Values typed on the
command line are parsed by ``ml_collections.config_flags``; this module runs the file
and finds misspelt names first, to say which name was meant.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from diffusion_audio.errors import UserError, unknown

_HELP = "FILE.py[:PRESET,...]; --config.KEY=VALUE sets a single value"


def define(values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Defines ``--config`` and the overrides that a command line holds.

    Args:
        values: where the flag goes; ``values.config`` is the ConfigDict after parsing.
        argv: the words after the verb.

    Returns:
        The words that are still to be parsed.

    Raises:
        UserError: the file, a preset or a key does not exist, or the file fails.
    """
    spec, rest = _take(argv)
    if spec is None or "--help" in argv or "-h" in argv:
        for key in _override_keys(rest):
            raise UserError(f"--config.{key} needs a --config=FILE.py to change")
        flags.DEFINE_string("config", None, _HELP, flag_values=values)
        return rest
    config = load(spec)
    for key in _override_keys(rest):
        _check_key(config, key)
    try:
        config_flags.DEFINE_config_dict(
            "config", config, _HELP, flag_values=values, sys_argv=rest
        )
    except config_flags.config_flags.UnsupportedOperationError as error:
        field = re.search(r"of field (\S+)", str(error))
        name = field[1] if field else "this key"
        raise UserError(
            f"{name} cannot be set on the command line: {spec} gives it no type"
        ) from error
    return rest


def load(spec: str) -> ConfigDict:
    """The config that a file makes for some presets.

    Args:
        spec: ``FILE.py`` or ``FILE.py:PRESET,PRESET``.

    Raises:
        UserError: there is no such file or preset, or the file fails.
    """
    name, _, presets = spec.partition(":")
    path = Path(name)
    if not path.is_file():
        beside = sorted(map(str, path.parent.glob("*.py")))
        if not beside:
            raise UserError(f"no config file {name!r} (nor any other *.py there)")
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
    """Runs a config file as a module; it may import neighbours as ``configs.NAME``."""
    specification = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    root = str(path.resolve().parent.parent)
    sys.path.append(root)
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(root)
    return module


def _check_presets(name: str, module: ModuleType, presets: str) -> None:
    """Refuses a preset that a file with a list of ``PRESETS`` does not have."""
    known = getattr(module, "PRESETS", None)
    for preset in filter(None, presets.split(",")):
        if known is not None and preset not in known:
            raise unknown(f"preset of {name}", preset, known)


def _take(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Splits ``--config=SPEC`` or ``--config SPEC`` off a command line."""
    spec, rest = None, []
    words = iter(argv)
    for word in words:
        if word in ("--config", "-config"):
            spec = next(words, None)
        elif match := re.match(r"--?config=(.*)", word):
            spec = match[1]
        else:
            rest.append(word)
    return spec, rest


def _override_keys(argv: Sequence[str]) -> list[str]:
    matches = (re.match(r"--?(?:no)?config\.([^=]+)", word) for word in argv)
    return [match[1] for match in matches if match]


def _check_key(config: ConfigDict, key: str) -> None:
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
