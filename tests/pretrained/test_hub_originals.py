"""Originals of the hub: one file, and the tokenizers that lie with their encoders."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained.catalog import TOKENIZERS, find
from diffusion_audio.pretrained.hub import fetch, fetch_tokenizer, origin
from diffusion_audio.pretrained.published_files import File
from tests.pretrained.hub_server import files_of

ORIGINAL = "haoheliu/audioldm2-full"
WORDS = {"tokenizer.json": b"words", "tokenizer_config.json": b"{}"}


@pytest.fixture
def online(server):
    """A hub with an original, and the models whose tokenizers it needs."""
    server.hub_id = ORIGINAL
    server.files = {"audioldm2-full.pth": b"weights" * 99, "README.md": b"x"}
    server.beside = {
        source.hub_id: WORDS | {"model.safetensors": b"x", "config.json": b"{}"}
        for source in TOKENIZERS.values()
    }
    return server


def test_an_original_is_one_file_and_the_tokenizers_of_others(online):
    assert find(ORIGINAL).files == (File("audioldm2-full.pth"),)
    assert set(files_of(fetch(ORIGINAL))) == {"audioldm2-full.pth"}
    assert set(online.sent) == {"audioldm2-full.pth", *WORDS}
    for name, source in TOKENIZERS.items():
        folder = fetch_tokenizer(name, offline=True)
        assert files_of(folder) == WORDS
        assert origin(folder)["hub"] == source.hub_id
    online.asked.clear()
    fetch(ORIGINAL)
    assert online.asked == []


def test_only_the_tokenizers_that_a_model_needs(online):
    online.hub_id = "haoheliu/audioldm_48k"
    online.files = {"audioldm_48k.pth": b"x"}
    fetch("audioldm_48k")
    with pytest.raises(UserError, match="nor whole in the cache of downloads"):
        fetch_tokenizer("t5", offline=True)


def test_a_model_without_its_tokenizers_is_not_downloaded(online):
    del online.beside["google/flan-t5-large"]["tokenizer.json"]
    with pytest.raises(UserError, match=r"flan-t5-large .* has no tokenizer\.json"):
        fetch(ORIGINAL)
    assert "audioldm2-full.pth" not in online.sent


def test_without_network_the_tokenizers_of_an_original_are_said_too(online):
    with pytest.raises(UserError) as caught:
        fetch(ORIGINAL, offline=True)
    files = "tokenizer.json tokenizer_config.json"
    assert str(caught.value).endswith(
        f"`hf download {ORIGINAL} --revision main --include '*.pth' --local-dir "
        f"audioldm2-full` and `hf download FacebookAI/roberta-base {files} --local-dir "
        f"audioldm2-full/tokenizer` and `hf download google/flan-t5-large {files} "
        "--local-dir audioldm2-full/tokenizer_2`; bring that folder here and give its "
        "path, --model=audioldm2-full"
    )
