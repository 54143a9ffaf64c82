import os

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from diffusion_audio.data import tones
from diffusion_audio.data.tokenizer import BPE
from diffusion_audio.errors import UserError

CAPTIONS = [tones.caption(c.attributes, c.seed) for c in tones.plan("train")[::4]]


@pytest.fixture(scope="module")
def tokenizer() -> BPE:
    return BPE.train(CAPTIONS, size=512, max_tokens=32)


def test_training_is_deterministic_and_ignores_the_order(tokenizer: BPE) -> None:
    again = BPE.train(CAPTIONS[::-1], size=512, max_tokens=32)
    assert again.to_json() == tokenizer.to_json()


def test_padding_is_zero_and_nothing_else_is(tokenizer: BPE) -> None:
    ids = tokenizer.encode(["a soft flute", ""])
    assert ids.shape == (2, 32)
    assert ids.dtype == np.int32
    assert np.count_nonzero(ids[0]) == 3  # one token a word
    assert not ids[0, 3:].any()
    assert not ids[1].any()


def test_every_pitch_is_one_token(tokenizer: BPE) -> None:
    ids = tokenizer.encode([f"at {pitch}" for pitch in tones.PITCH_HZ])
    assert (np.count_nonzero(ids, axis=1) == 2).all()
    assert len(set(ids[:, 1])) == len(tones.PITCH_HZ)


def test_case_and_composition_do_not_matter(tokenizer: BPE) -> None:
    one, other = tokenizer.encode(["A Soft flûte", "a soft flu\u0302te"])
    np.testing.assert_array_equal(one, other)


@hypothesis.given(st.text(max_size=8))
def test_any_text_has_tokens_within_the_vocabulary(text: str) -> None:
    tokenizer = BPE.train(["a b"], size=257, max_tokens=128)
    ids = tokenizer.encode([text])
    assert ids.max() < tokenizer.size
    length = np.count_nonzero(ids)
    assert ids[0, :length].all()
    assert length or not any(character.isalnum() for character in text)


def test_padding_written_in_a_caption_is_text(tokenizer: BPE) -> None:
    ids = tokenizer.encode(["a <pad> flute"])[0]
    assert ids[: np.count_nonzero(ids)].all()


def test_json_round_trip(tokenizer: BPE) -> None:
    copy = BPE.from_json(tokenizer.to_json())
    assert (copy.size, copy.max_tokens) == (tokenizer.size, 32)
    np.testing.assert_array_equal(
        copy.encode(CAPTIONS[:9]), tokenizer.encode(CAPTIONS[:9])
    )


def test_long_caption_is_refused_with_its_length(tokenizer: BPE) -> None:
    with pytest.raises(UserError, match=r"of 40 tokens, 'a soft .*the 32 this"):
        tokenizer.encode(["fine", "a soft " * 20])
    with pytest.raises(UserError, match="tokens"):
        tokenizer.encode(["x" * 10_000])


def test_what_is_not_utf8_is_refused(tokenizer: BPE) -> None:
    typed = os.fsdecode(b"a fl\xfcte")  # what Latin-1 becomes on a command line
    message = r"'a fl\\udcfcte' is not valid Unicode at character 5"
    with pytest.raises(UserError, match=message):
        tokenizer.encode(["a flute", typed])


@pytest.mark.parametrize("text", ["", "{}", '{"version": "1.0"}'])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a stored tokenizer"):
        BPE.from_json(text)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match="more than 256 tokens; got 100"):
        BPE.train(["a"], size=100)


def test_what_cannot_be_seen_is_no_token(tokenizer: BPE) -> None:
    typed = "\ufeffa\u00a0 so\u00adft\nflu\u200b\u0302te "
    ids = tokenizer.encode(["a soft flûte", typed, "<p\u200bad>", " \u200b\n"])
    np.testing.assert_array_equal(ids[0], ids[1])
    assert ids[2].any()  # "<pad>" that was hidden is text too
    assert not ids[3].any()


def test_captions_are_learnt_as_they_are_read() -> None:
    clean = BPE.train(["a soft flûte"] * 2, size=300)
    other = BPE.train(["a  soft flu\u0302te", "\ufeffa soft flûte\n"], size=300)
    assert clean.to_json() == other.to_json()


@pytest.mark.parametrize("use", [BPE.train, "encode"])
def test_a_string_is_no_list_of_captions(tokenizer: BPE, use) -> None:
    call = tokenizer.encode if use == "encode" else use
    with pytest.raises(UserError, match="expected a list of captions, got the text"):
        call("rain")


def test_no_texts_are_no_rows(tokenizer: BPE) -> None:
    assert tokenizer.encode([]).shape == (0, 32)


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer: BPE) -> None:
    first, inside = tokenizer.encode(["organ", "soft organ"])
    word, text = first[first > 0], inside[inside > 0]
    np.testing.assert_array_equal(text[-len(word) :], word)
    assert len(text) > len(word)
