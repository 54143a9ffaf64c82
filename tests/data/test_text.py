"""Text as it is read: what cannot be seen makes no difference."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from diffusion_audio.data.text import as_texts, clean
from diffusion_audio.errors import UserError

PLAIN = "a soft fl\u00fbte at C4"


@pytest.mark.parametrize(
    "typed",
    [
        "  a  soft\tfl\u00fbte\r\nat\u00a0C4 \n",
        "a soft flu\u0302te at C4",  # NFD
        "a soft flu\u200b\u0302te at C4",  # composed only once nothing is between
        "\ufeffa soft fl\u00fbte at C4",  # byte order mark
        "a so\u00adft fl\u00fb\u200bte at\u2060 C4\u200e",
        "\u202ba soft\u202c \u2067fl\u00fbte\u2069 at C4",  # text direction
        "a \u200b soft \u200d fl\u00fbte at C4",
        "a\u200c soft fl\u200c\u00fbte at C\u200d4\u200d",  # joiners that join nothing
        "a soft fl\u00fbte\u2028at\u3000C4",
        "a soft\u034f fl\u00fbte at C4\ufe0f\U000e0101\u3164\u180e",
        "a soft\x00 fl\u00fbte at\x1b C4\x7f",
    ],
)
def test_what_cannot_be_seen_makes_no_difference(typed):
    assert clean(typed) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "ක්\u200dර",
        "\U0001f468\u200d\U0001f469",
        "<b>C# & E\u266d</b> -5 dB",
        "\u00c5ngstr\u00f6m",
        "",
    ],
)
def test_what_is_spelling_stays(text):
    assert clean(text) == text


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\ufeff \u00ad", "\u00a0"])
def test_text_of_nothing_is_empty(text):
    assert clean(text) == ""


@hypothesis.given(st.text())
def test_cleaning_once_is_enough(text):
    assert clean(clean(text)) == clean(text)


def test_a_string_is_one_text():
    assert as_texts("rain") == ["rain"]
    assert as_texts(np.str_("rain")) == ["rain"]
    assert as_texts(("rain", "")) == ["rain", ""]
    assert as_texts(name for name in "ab") == ["a", "b"]
    assert as_texts(np.array(["rain", "wind"])) == ["rain", "wind"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no prompt; give at least one"),
        (b"rain", "expected a prompt as text, got bytes b'rain'"),
        (None, "expected a prompt as text, got NoneType None"),
        (["rain", 3], "expected a prompt as text, got int 3"),
        ([["rain"]], "expected a prompt as text, got list"),
        (
            ["a fl\udcfcte"],
            "is not valid Unicode at character 5",
        ),
    ],
)
def test_what_is_no_text_is_refused(texts, message):
    with pytest.raises(UserError, match=message):
        as_texts(texts)
