import pytest

from diffusion_audio.data.captions import MAX_CAPTION, clean_caption
from diffusion_audio.errors import UserError


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("e\u0301tude\tfor\r\n piano ", "\u00e9tude for piano"),
        ("a\0b\x1b[31mc\u202ed", "ab[31mcd"),
        ("lone \ud800 half", "lone half"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_captions_are_cleaned(text: str, clean: str) -> None:
    assert clean_caption(text, "here") == clean


def test_caption_length_is_capped() -> None:
    assert clean_caption("x" * MAX_CAPTION, "here")
    with pytest.raises(UserError, match="here: a caption of 1001 characters"):
        clean_caption("x" * (MAX_CAPTION + 1), "here")
