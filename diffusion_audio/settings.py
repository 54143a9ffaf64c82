"""From a group of config values to a frozen dataclass; a typo is an error."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from diffusion_audio.errors import UserError, unknown

T = TypeVar("T")


class Choice(dict[str, Any]):
    """A choice with its options, ``{"name": ..., ...}``; never changed, so it hashes.

    Settings may then be a static argument of ``jax.jit``.
    """

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(tuple(sorted(self.items())))


def settings(cls: type[T], config: Mapping[str, Any], group: str) -> T:
    """Builds ``cls(**config[group])``; lists become tuples.

    Args:
        cls: a dataclass.
        config: the whole config.
        group: name of the group in it.

    Raises:
        UserError: the group is missing or has a key that ``cls`` does not know.
    """
    return of_group(cls, require_group(config, group), f"config.{group}")


def require_group(config: Mapping[str, Any], group: str) -> Any:
    """A group of a config.

    Raises:
        UserError: it is missing.
    """
    if group not in config:
        raise UserError(f"the config has no group {group!r}; see configs/ for examples")
    return config[group]


def of_group(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Builds ``cls(**values)``; lists become tuples.

    Args:
        cls: a dataclass.
        values: of its fields.
        where: the group that they are of, for messages: ``config.train``.

    Raises:
        UserError: ``cls`` does not know a key, or needs one that is not there.
    """
    # A type variable cannot say that it is a dataclass.
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    known = [field.name for field in fields]
    for name in values:
        if name not in known:
            raise unknown(f"key in {where}", name, known)
    for field in fields:
        default = (field.default, field.default_factory)
        if field.name not in values and default == (dataclasses.MISSING,) * 2:
            raise UserError(f"{where} lacks {field.name}; see configs/ for examples")
    return cls(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, Mapping):
        return Choice({key: _frozen(item) for key, item in value.items()})
    return value
