"""``--config=FILE.py[:PRESETS]`` and ``--config.a.b=value``.

Values typed on the command line are parsed by ``ml_collections.config_flags``.
"""

import re
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from diffusion_audio.errors import UserError
from diffusion_audio.recipe import check_key, load

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
    helped = "--help" in argv or "-h" in argv
    if spec is None or helped:
        for key in () if helped else _override_keys(rest):
            raise UserError(f"--config.{key} needs a --config=FILE.py to change")
        flags.DEFINE_string("config", None, _HELP, flag_values=values)
        return rest
    config = load(spec)
    for key in _override_keys(rest):
        check_key(config, key)
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
