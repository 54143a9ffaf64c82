"""Prompts of speech: a description and phonemes, the end of these, and what is none."""

import builtins
from dataclasses import asdict

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import published_parts as parts
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems.conditioners import Tokenizer, language_of_speech
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.published_tokens import PublishedTokens
from diffusion_audio.systems.speech_tokens import SpeechTokens, reader
from tests.published import tokenizer_files

LENGTH, END = 6, 182


def read(folder, files, kind, **changes):
    for name, text in files.items():
        for old, new in changes.items():
            text = text.replace(f'"{old}": true', f'"{old}": {new}')
        (folder / name).write_text(text, encoding="utf-8")
    return PublishedTokenizer.read(folder, kind, LENGTH)


@pytest.fixture
def described(tmp_path):
    folder = tmp_path / "clap"
    folder.mkdir()
    return PublishedTokens({"clap": read(folder, tokenizer_files.roberta(), "roberta")})


@pytest.fixture
def tokens(described, tmp_path):
    said = read(tmp_path, tokenizer_files.vits(), "vits")
    return SpeechTokens(described, said, 183, END)


def number(letter):
    return tokenizer_files.PHONEMES.index(letter)


def test_an_end_stands_after_the_last_phoneme_if_there_is_room(tokens, caplog):
    arrays = tokens.spoken(["a man", "rain"], ["aˈɪ", "abcdefgh"])
    ids, mask = arrays["phonemes_tokens"], arrays["phonemes_mask"]
    assert ids[0].tolist() == [*map(number, "aˈɪ"), END, 0, 0]
    assert ids[1].tolist() == list(map(number, "abcdef"))
    assert mask.sum(axis=1).tolist() == [4, LENGTH]
    assert "1 of 2 prompts cut to the 6 tokens that phonemes takes" in caplog.text
    assert arrays["given"].all()
    alone = tokens.arrays(["a man", "rain"])
    np.testing.assert_array_equal(arrays["clap_tokens"], alone["clap_tokens"])


def test_nothing_is_said_without_a_transcript(tokens):
    spoken = tokens.spoken(["rain"], ["a"])
    for arrays, asked in ((tokens.arrays(["rain"]), True), (tokens.null(), False)):
        assert arrays.keys() == spoken.keys()
        assert all(arrays[name].shape == spoken[name].shape for name in spoken)
        assert not arrays["phonemes_mask"].any()
        assert arrays["given"].tolist() == [asked]


def test_what_is_no_phoneme_is_refused(described, tmp_path, tokens):
    with pytest.raises(UserError, match="the transcript '' has no phonemes"):
        tokens.spoken(["rain"], [""])
    few = SpeechTokens(described, read(tmp_path, {}, "vits"), number("c"), 1)
    few.spoken(["rain"], ["ab"])
    with pytest.raises(UserError, match="'abc' holds what is no phoneme"):
        few.spoken(["rain"], ["abc"])


def test_letters_need_the_extra(tokens, monkeypatch):
    def without(name, *args, before=builtins.__import__, **options):
        if name == "espeakng_loader":
            raise ImportError("No module named 'espeakng_loader'")
        return before(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'diffusion-audio\[speech\]'"):
        tokens.phonemes(["Hello"])


def test_a_tokenizer_of_letters_takes_them_as_they_are(described, tmp_path):
    said = read(tmp_path, tokenizer_files.vits(), "vits", phonemize="false")
    tokens = SpeechTokens(described, said, 183, END)
    (letters,) = tokens.phonemes(["a b"])
    (ids,) = tokens.spoken(["rain"], [letters])["phonemes_tokens"]
    assert ids.tolist() == [*map(number, "a b"), END, 0, 0]


def test_tokenizers_of_speech_beside_others(tokens, described):
    parts = Tokenizers({"a": described, "b": tokens})
    assert parts.of_speech
    assert not Tokenizers({"a": described}).of_speech
    made = parts.spoken(["rain"], ["a"], phonemes=True)
    assert "phonemes_tokens" not in made["a"]
    assert made["b"]["phonemes_tokens"][0, :2].tolist() == [number("a"), END]
    assert parts.files().keys() == {
        "conditioners/a/clap.json",
        "conditioners/b/clap.json",
        "conditioners/b/phonemes.json",
    }


def test_what_is_kept_is_read_back(tokens):
    again: Tokenizer = reader(512, 4, 183, END)(tokens.files())
    assert again.null()["phonemes_mask"].shape == (1, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": 183}, "expected end from 0 to 182"),
        ({"projection": asdict(parts.PROJECTION.config)}, "a projection with position"),
        ({"null": "nothing"}, "unknown null of language_of_speech 'nothing'"),
    ],
)
def test_settings_that_cannot_be(change, message):
    published = {
        "clap": parts.CLAP_TEXT,
        "phonemes": parts.PHONEMES,
        "projection": parts.SPEECH_PROJECTION,
        "gpt2": parts.GPT2,
    }
    settings = {name: asdict(part.config) for name, part in published.items()}
    with pytest.raises(UserError, match=message):
        language_of_speech.build(language_of_speech.Config(**settings | change))
