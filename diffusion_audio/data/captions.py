"""Captions as text: cleaned, of a length that is sane, or read from beside a clip."""

import unicodedata

from diffusion_audio.errors import UserError

MAX_CAPTION = 1_000  # characters
_CONTROLS = ("Cc", "Cf", "Cs")  # control, format (text direction), lone surrogate
_JOINERS = "\u200c\u200d"  # invisible, but part of the spelling of some scripts


def clean_caption(text: str, where: str) -> str:
    """A caption in NFC, on one line, without control characters.

    Raises:
        UserError: if it is longer than ``MAX_CAPTION`` characters.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if not text.isascii() or not text.isprintable():
        text = "".join(
            c for c in text if c in _JOINERS or unicodedata.category(c) not in _CONTROLS
        )
    if len(text) > MAX_CAPTION:
        raise UserError(
            f"{where}: a caption of {len(text)} characters, at most {MAX_CAPTION} are "
            f"allowed: shorten it"
        )
    return text
