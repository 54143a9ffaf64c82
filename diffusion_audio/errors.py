"""Mistakes a user can mend, each one clear line: expected, came, what to do."""

import difflib
from collections.abc import Iterable

LONGEST = 300  # characters of a name, or of a list of them, in a message


class UserError(ValueError):
    """A mistake in a config, file or flag; the command line prints only its text."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not among ``known``, with the nearest one.

    Args:
        kind: what the name stands for, such as ``"noise schedule"``.
        name: what came.
        known: the names that exist.
    """
    names = [str(item) for item in known]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    said = shortened(repr(name))
    return UserError(f"unknown {kind} {said}{hint} (known: {', '.join(names)})")


def shortened(text: str) -> str:
    """Text for a message, without its middle if it is too long for one."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"
