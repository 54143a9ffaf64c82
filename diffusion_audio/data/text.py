"""Captions and prompts as text: cleaned alike, so that the same words are the same.

What cannot be seen makes no difference: how letters are composed, which white space
is between words, byte order marks, soft hyphens, zero-width characters, text direction.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from diffusion_audio.errors import UserError

_CONTROLS = ("Cc", "Cf", "Cs")  # control, format, lone surrogate
# Unicode's other characters that are not shown (Default_Ignorable_Code_Point): grapheme
# joiner, fillers of Hangul and Khmer, Mongolian and other variation selectors.
_UNSEEN = frozenset(
    chr(code)
    for start, stop in (
        (0x034F, 0x0350),
        (0x115F, 0x1161),
        (0x17B4, 0x17B6),
        (0x180B, 0x1810),
        (0x3164, 0x3165),
        (0xFE00, 0xFE10),
        (0xFFA0, 0xFFA1),
        (0xE0100, 0xE01F0),
    )
    for code in range(start, stop)
)
_JOINERS = "\u200c\u200d"  # invisible too, but part of the spelling of some scripts
_JOINED = ("Lo", "Mn", "Mc", "So", "Sk")  # letters without case, their marks, emoji


def clean(text: str) -> str:
    """Text in NFC, on one line, one space between words, of characters that show."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = ""
    for character in text:
        if character in _JOINERS:
            shown = bool(kept) and unicodedata.category(kept[-1]) in _JOINED
        elif character.isspace():
            shown = True  # some of it is of category Cc
        else:
            category = unicodedata.category(character)
            shown = category not in _CONTROLS and character not in _UNSEEN
        kept += character if shown else ""
    return " ".join(unicodedata.normalize("NFC", kept).split())


def words(text: str) -> list[str]:
    """The words of a text in order, in lower case: runs of letters and digits."""
    return re.findall(r"[^\W_]+", clean(text).lower())


def as_texts(texts: str | Iterable[str], what: str = "prompt") -> list[str]:
    """A list of texts; a string is one text, not its letters.

    Args:
        texts: one or several.
        what: one of them is called, in messages.

    Raises:
        UserError: there is none, or one is no text, or holds a surrogate, which is no
            character.
    """
    several = isinstance(texts, Iterable) and not isinstance(texts, str | bytes)
    listed: list[Any] = list(texts) if several else [texts]
    if not listed:
        raise UserError(f"no {what}; give at least one")
    for text in listed:
        if not isinstance(text, str):
            raise UserError(
                f"expected a {what} as text, got {type(text).__name__} {text!r:.60}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"the {what} {text[:60]!r} is not valid Unicode at character "
                f"{error.start + 1}: was it typed or stored as something else than "
                "UTF-8?"
            ) from error
    return listed
