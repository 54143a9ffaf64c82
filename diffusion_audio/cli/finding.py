"""What a check of `doctor` finds."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from diffusion_audio.errors import UserError

GIB = 2**30


class Finding(NamedTuple):
    """What a check found."""

    state: Literal["ok", "note", "broken"]
    text: str


Check = Callable[[], Finding]


def examine(check: Check) -> Finding:
    """Runs one check; whatever it raises means that this part is broken."""
    try:
        return check()
    except UserError as error:
        return Finding("broken", str(error))
    except Exception as error:
        return Finding("broken", f"{type(error).__name__}: {error}")
