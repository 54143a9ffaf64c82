"""A tokenizer that numbers more tokens than its network knows is refused when read."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained.read_system import read_system
from tests.published.encoder_configs import CLAP
from tests.published.folders import make

SMALL_CLAP = {"text_config": CLAP["text_config"] | {"vocab_size": 338}}


@pytest.mark.parametrize(
    ("kind", "part", "config", "folder"),
    [
        ("audioldm", "text_encoder", {"vocab_size": 338}, "tokenizer"),
        ("audioldm2", "text_encoder", SMALL_CLAP, "tokenizer"),
        ("audioldm2", "text_encoder_2", {"vocab_size": 98}, "tokenizer_2"),
        ("auffusion", "text_encoder_0", {"vocab_size": 579}, "text_encoder_0"),
        ("auffusion_no_adapter", "text_encoder", {"vocab_size": 579}, "tokenizer"),
        pytest.param(
            *("original_48k", "text_encoder", SMALL_CLAP, "tokenizer"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("original_t5", "text_encoder_2", {"vocab_size": 98}, "tokenizer_2"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_tokenizer_of_another_network(tmp_path, kind, part, config, folder):
    place = make(kind, tmp_path, **{part: config})
    known = config.get("text_config", config)["vocab_size"]
    line = (
        rf"{folder} has a tokenizer that numbers {known + 1} tokens, and the network "
    )
    with pytest.raises(UserError, match=rf"{line}beside it knows {known}; expected"):
        read_system(place)
