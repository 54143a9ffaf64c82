"""What is printed arrives, whatever the locale can say and whatever a name holds."""

import codecs
import io
import sys

_ERRORS = "diffusion_audio.paths_and_text"


def print_anything() -> None:
    """Lets stdout take every path and text.

    Bytes of a file name that are no text go out as they are, so that a path that is
    printed is the file's; what the encoding lacks is written with a backslash, as
    stderr does for all.
    """
    codecs.register_error(_ERRORS, _replace)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)
