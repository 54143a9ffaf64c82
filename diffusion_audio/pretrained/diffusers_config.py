"""Reads the config.json of a network of diffusers, value by value, in plain types.

Their classes have many options that the published systems leave as they are. What our
networks do not have is refused by name; what says nothing of the network is passed by.
"""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.errors import UserError, shortened

LARGEST = 1 << 20  # of any number
LONGEST = 16  # of any list
DEEPEST = 64  # blocks of a level
# What says nothing of the network, and what was left of a moving average.
IGNORED = {
    *("_class_name", "_diffusers_version", "_name_or_path", "sample_size"),
    *("upcast_attention", "dropout", "addition_embed_type_num_heads", "force_upcast"),
    *("decay", "inv_gamma", "min_decay", "optimization_step", "power"),
    *("update_after_step", "use_ema_warmup"),
}


def require_class(
    config: Mapping[str, Any], known: tuple[str, ...], whose: str
) -> None:
    """Refuses the config of another class.

    Args:
        config: as it was read.
        known: names of classes.
        whose: what the config is, for errors, as in all functions here.

    Raises:
        UserError: it is of none of them.
    """
    name = config.get("_class_name")
    if name not in known:
        raise UserError(
            f"{whose} is of {shortened(repr(name))}: expected a _class_name of "
            f"{' or '.join(known)}, as diffusers writes it"
        )


def refuse_others(
    config: Mapping[str, Any],
    fixed: Mapping[str, tuple[Any, ...]],
    read: set[str],
    whose: str,
) -> None:
    """Refuses options that our network has not.

    Args:
        config: as it was read.
        fixed: options that our network has one value of, and its spellings.
        read: options that are read.
        whose: what the config is.

    Raises:
        UserError: another value of a fixed option, or an unknown one that is on.
    """
    for name, value in config.items():
        if name in fixed:
            if value not in fixed[name]:
                raise wrong(name, value, repr(fixed[name][0]), whose)
        elif name not in read | IGNORED and value not in (None, False):
            raise wrong(name, value, "none", whose)


def widths(
    config: Mapping[str, Any], default: tuple[int, ...], whose: str
) -> tuple[int, ...]:
    """The channels of each level.

    Raises:
        UserError: they are no list of whole numbers.
    """
    name = "block_out_channels"
    value = config.get(name, default)
    if not is_list(value) or not all(is_whole(width) for width in value):
        raise wrong(name, value, "a list of whole numbers", whose)
    return tuple(value)


def each(
    config: Mapping[str, Any], name: str, default: int, levels: int, whose: str
) -> tuple[int, ...]:
    """A number a level, where the config may give one for all.

    Raises:
        UserError: they are no whole numbers, or of another number.
    """
    value = config.get(name, default)
    values = value if is_list(value) else [value] * levels
    if len(values) != levels or not all(is_whole(number) for number in values):
        raise wrong(name, value, f"a whole number or {levels} of them", whose)
    return tuple(values)


def same(
    config: Mapping[str, Any], name: str, default: int, levels: int, whose: str
) -> int:
    """A number of blocks, the same at all levels, where there may be one for each.

    Raises:
        UserError: they are no whole numbers, differ or are too many.
    """
    values = each(config, name, default, levels, whose)
    if len(set(values)) > 1:
        raise wrong(name, list(values), "the same number at each level", whose)
    if values[0] > DEEPEST:
        raise wrong(name, values[0], f"at most {DEEPEST}", whose)
    return values[0]


def whole(
    config: Mapping[str, Any],
    name: str,
    default: int | None,
    whose: str,
    most: int = LARGEST,
) -> int:
    """A whole number from 1 to ``most``; needed where the default is None.

    Raises:
        UserError: it is none.
    """
    value = config.get(name, default)
    if not is_whole(value) or value > most:
        raise wrong(name, value, f"a whole number from 1 to {most}", whose)
    return value


def flag(config: Mapping[str, Any], name: str, default: bool, whose: str) -> bool:
    """True or false.

    Raises:
        UserError: it is neither.
    """
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise wrong(name, value, "true or false", whose)
    return value


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of a size that a network may have."""
    return type(value) is int and 1 <= value <= LARGEST


def is_list(value: object) -> bool:
    """Whether a value is a list of a length that a network may have."""
    return isinstance(value, list | tuple) and 1 <= len(value) <= LONGEST


def wrong(name: str, value: object, expected: str, whose: str) -> UserError:
    """The error for a value that our network cannot have."""
    return UserError(
        f"{whose}: {name} is {shortened(repr(value))}, which our network cannot have; "
        f"expected {expected}"
    )
