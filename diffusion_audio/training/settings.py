"""From a group of config values to a frozen dataclass; a typo is an error."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from diffusion_audio.errors import UserError, unknown

T = TypeVar("T")


def settings(cls: type[T], config: Mapping[str, Any], group: str) -> T:
    """Builds ``cls(**config[group])``; lists become tuples.

    Args:
        cls: a dataclass.
        config: the whole config.
        group: name of the group in it.

    Raises:
        UserError: the group is missing or has a key that ``cls`` does not know.
    """
    if group not in config:
        raise UserError(f"the config has no group {group!r}; see configs/ for examples")
    # A type variable cannot say that it is a dataclass.
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in config[group]:
        if name not in known:
            raise unknown(f"key in config.{group}", name, known)
    return cls(**{name: _frozen(value) for name, value in config[group].items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
