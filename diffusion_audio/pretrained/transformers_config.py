"""Settings of a config.json as transformers writes them, checked and named as ours.

It leaves out what has its default, so each setting is listed with that.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from diffusion_audio.errors import UserError, shortened

LARGEST = 1 << 20  # of any number of a size
DEEPEST = 256  # blocks of any network
MAY_BE_ZERO = ("eos", "padding", "positions")  # ids of tokens, and none to be learned


class Setting(NamedTuple):
    """Our name of a setting, and its value where a config.json has none."""

    ours: str
    default: int | float | str


def text_config(config: Mapping[str, Any], whose: str) -> Mapping[str, Any]:
    """What a config.json says of a text tower, alone or beside another's.

    Raises:
        UserError: it is no object.
    """
    own = config.get("text_config", config)
    if not isinstance(own, Mapping):
        raise UserError(
            f"{whose}: expected text_config to be an object, got {shortened(repr(own))}"
        )
    return own


def read(
    config: Mapping[str, Any],
    names: Mapping[str, Setting],
    fixed: Mapping[str, tuple[Any, ...]],
    whose: str,
) -> dict[str, Any]:
    """Settings of a network by our names.

    Args:
        config: the object of a config.json.
        names: its names -> ours; a value must be of its default's type.
        fixed: its names -> values that are what we have; absent is well too.
        whose: what the file is, for errors.

    Raises:
        UserError: a value is not of its type, a number is out of all bounds, or an
            option is on that our network has not.
    """
    settings: dict[str, Any] = {}
    for name, (ours, default) in names.items():
        value = config.get(name, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(default, str):
            right, what = isinstance(value, str), "a string"
        elif isinstance(default, float):
            right = (whole or isinstance(value, float)) and 0 <= value < 1
            what = "a number from 0 to 1"
        else:
            least = 0 if ours in MAY_BE_ZERO else 1
            most = DEEPEST if ours == "depth" else LARGEST
            right = whole and least <= value <= most
            what = f"a whole number from {least} to {most}"
        if not right:
            raise UserError(
                f"{whose}: expected {name} to be {what}, got {shortened(repr(value))}"
            )
        settings[ours] = value
    for name, values in fixed.items():
        if name in config and config[name] not in values:
            raise UserError(
                f"{whose}: {name} is {shortened(repr(config[name]))}, which this "
                f"network has not; it has {' or '.join(map(repr, values))}"
            )
    return settings


def written(names: Mapping[str, Setting], cfg: Any) -> dict[str, Any]:
    """The settings of a network by their names; `read` is the inverse."""
    return {name: getattr(cfg, ours) for name, (ours, _) in names.items()}
