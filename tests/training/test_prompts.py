"""Captions: none is refused, one too long is found now, some are listened to."""

import logging

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.systems.conditioning import build_conditioning
from diffusion_audio.training.prompts import ListenConfig, load_or_create
from diffusion_audio.training.task import Data
from tests.tasks import Clips

NOTHING = ListenConfig()
GROUP = {"name": "text", "vocabulary": 300, "max_tokens": 8, "vector_dim": 4}
TEXT = build_conditioning({"conditioners": {"text": GROUP}})


def settled(captions, held=None, listen=NOTHING, kept=None):
    return load_or_create(
        TEXT, listen, Data(Clips(captions), Clips(held or captions), kept)
    )


def test_text_to_audio_without_a_caption_is_refused(caplog):
    with pytest.raises(UserError, match=r"has no captions.*metadata\.csv"):
        settled(["", ""])
    caplog.set_level(logging.WARNING)
    settled(["rain", ""])
    assert "1 of 2 captions of clips are empty" in caplog.text


def test_one_listens_to_captions_of_the_set_where_the_config_names_none(monkeypatch):
    captions = [f"no {i}" for i in range(6)]
    shown = {}
    for name, listen in {
        "own": ListenConfig(captions=4),
        "given": ListenConfig(("mine",), captions=4),
        "none": ListenConfig(),
    }.items():
        shown[name] = settled(captions, listen=listen)
    tokens = shown["own"].tokenizers.prompt(["no 0", "no 1", "no 3", "no 5"])
    listened = shown["own"].listened["text"]["tokens"]
    assert listened.tolist() == tokens["text"]["tokens"].tolist()
    assert [shown[name].count for name in shown] == [4, 1, 0]
    assert shown["none"].listened == {}


def test_without_conditioners_one_listens_too_and_no_caption_is_needed():
    nothing = build_conditioning({"conditioners": {}})
    clips = Clips([""])
    for prompts in ((), ("a", "b")):
        made = load_or_create(nothing, ListenConfig(prompts), Data(clips, clips))
        assert made.count == len(prompts)
        assert made.listened == made.null == made.files == {}


def test_a_caption_too_long_is_found_before_training():
    for words in (("ab cd ef gh ij kl " * 3, "x"), ("x", "ab cd ef gh ij kl " * 3)):
        with pytest.raises(UserError, match="is longer than the 8"):
            settled([words[0]], held=[words[1]])


def test_a_run_that_goes_on_keeps_its_tokenizer():
    first = settled(["a low tone", "a high tone"])
    again = settled(["other"], kept=first.files)
    assert again.files == first.files
    assert settled(["other"]).files != first.files


def test_batches_hold_the_captions_of_their_clips():
    prompts = settled(["a low tone", "a high tone"])
    made = prompts.inputs([{"caption": "a low tone"}, {"caption": ""}])["prompt"]
    assert made["text"]["tokens"].shape == (2, 8)
    assert (made["text"]["tokens"][1] == prompts.null["text"]["tokens"][0]).all()
    assert made["text"]["tokens"][0].any()
