"""Captions of a set: cleaned as prompts are, and of a length that is sane."""

from diffusion_audio.data.text import clean
from diffusion_audio.errors import UserError

MAX_CAPTION = 1_000  # characters


def clean_caption(text: str, where: str) -> str:
    """A caption as `text.clean` makes it.

    Raises:
        UserError: if it is longer than ``MAX_CAPTION`` characters.
    """
    text = clean(text)
    if len(text) > MAX_CAPTION:
        raise UserError(
            f"{where}: a caption of {len(text)} characters, at most {MAX_CAPTION} are "
            f"allowed: shorten it"
        )
    return text
