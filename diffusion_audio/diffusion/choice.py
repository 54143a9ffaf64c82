"""Things chosen by name with options of their own, as configs have them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from diffusion_audio.errors import UserError, unknown


def choose(
    kind: str,
    table: Mapping[str, Callable[..., Any]],
    name: str,
    options: Mapping[str, Any],
    *given: Any,
    common: Iterable[str] = (),
) -> Any:
    """Calls ``table[name](*given, **options)``; an option that is None is left out.

    Args:
        kind: what is chosen, for messages, such as ``"noise schedule"``.
        table: the functions by name; arguments with a default are options.
        name: of the one to call.
        options: of that function.
        *given: its first arguments, no options.
        common: options that every choice has, read by the caller; for messages.

    Raises:
        UserError: an unknown name, or an option this function does not have.
    """
    if name not in table:
        raise unknown(kind, name, table)
    options = {key: value for key, value in options.items() if value is not None}
    known = [
        parameter.name
        for parameter in inspect.signature(table[name]).parameters.values()
        if parameter.default is not parameter.empty
    ]
    for key in options:
        if key not in known:
            raise unknown(f"option of the {name} {kind}", key, [*known, *common])
    return table[name](*given, **options)


def positive(owner: str, **values: float) -> None:
    """Refuses options that are not finite numbers above 0."""
    for key, value in values.items():
        if not 0 < value < float("inf"):
            raise UserError(f"{owner}: {key} must be above 0, got {value}")
