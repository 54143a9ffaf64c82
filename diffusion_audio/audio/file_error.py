"""The error for an audio file that cannot be used, with names that can be printed."""

import os

from diffusion_audio.errors import UserError, shortened


class AudioFileError(UserError):
    """An audio file, or a saved mel, that cannot be used.

    Attributes:
        kind: ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"empty"``,
            ``"non-finite"``, ``"rate"``, ``"channels"`` or ``"too-long"``; of what a
            worker decodes also ``"crashed"``, ``"too-slow"`` or ``"too-large"``; of a
            mel ``"bands"``, ``"order"``, ``"length"`` or ``"range"``.
        path: of the file.
        problem: what is wrong with it.
    """

    def __init__(self, kind: str, path: str | os.PathLike[str], problem: str):
        self.kind, self.path, self.problem = kind, path, problem
        super().__init__(f"{quoted(path)}: {problem}")


def quoted(path: str | os.PathLike[str]) -> str:
    """A path in quotes, for one line of any encoding's text.

    Line breaks, and bytes of a name that are no UTF-8, are written as escapes; of a
    very long name, the middle is left out.
    """
    return repr(shortened(os.fspath(path)))
