"""Words of prompts that no caption of training had."""

from diffusion_audio.data.text import words
from diffusion_audio.models.text import TextConfig
from diffusion_audio.systems.conditioners import text
from diffusion_audio.systems.conditioning import Tokenizers

CAPTIONS = ["A low Tone, then C4.", "Zwei Töne: low_high"]


def learned():
    return text.build(TextConfig(vocabulary=300, max_tokens=32, vector_dim=8)).learn(
        CAPTIONS
    )


def test_words_are_letters_and_digits_in_lower_case():
    assert words("A dog, barks; C4's low_high\u00ad\n") == [
        *("a", "dog", "barks", "c4", "s", "low", "high")
    ]


def test_those_that_training_never_had_are_named_once():
    tokens = Tokenizers({"text": learned()})
    assert tokens.unknown_words(["a LOW töne, c4", ""]) == []
    assert tokens.unknown_words(["dog barks", "a dog, rain"]) == [
        "dog",
        "barks",
        "rain",
    ]


def test_a_run_keeps_its_words_and_one_without_is_silent():
    files = learned().files()
    again = text._read(files)
    assert again.files() == files
    assert Tokenizers({"text": again}).unknown_words(["a dog"]) == ["dog"]
    del files[text.WORDS]
    old = text._read(files)
    assert old.files() == files
    assert Tokenizers({"text": old}).unknown_words(["a dog"]) == []
