"""Tokenizers of published files against transformers', text by text."""

import importlib

import numpy as np
import pytest

from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from tests.pretrained.tokenizer_folders import (
    PHONEMES,
    SPIECE,
    TEXTS,
    VITS,
    folders,
    pairs,
    pieces,
    write,
)
from tests.published import tokenizer_files

pytestmark = pytest.mark.parity

transformers = pytest.importorskip("transformers")

CLASSES = {
    "roberta": "RobertaTokenizer",
    "clip": "CLIPTokenizer",
    "t5": "T5Tokenizer",
    "vits": "VitsTokenizer",
}


def assert_same(theirs, ours, texts=TEXTS):
    expected = theirs(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=ours.max_tokens,
        return_tensors="np",
    )
    got = ours.encode(texts)
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(got.ids[i], expected["input_ids"][i], repr(text))
    np.testing.assert_array_equal(got.mask, expected["attention_mask"])
    long = [len(each) for each in theirs(list(texts))["input_ids"]]
    assert got.cut == tuple(max(0, n - ours.max_tokens) for n in long)


def assert_read(folder, kind, texts=TEXTS):
    """Ours and what we write of it, in several lengths, against theirs."""
    theirs = getattr(transformers, CLASSES[kind]).from_pretrained(folder)
    for length in (3, 12, 60):
        ours = PublishedTokenizer.read(folder, kind, length)
        assert_same(theirs, ours, texts)
        assert_same(theirs, PublishedTokenizer.from_json(ours.to_json()), texts)
    back = write(folder / "back")
    for name, content in ours.files().items():
        (back / name).write_text(content, encoding="utf-8")
    again = transformers.AutoTokenizer.from_pretrained(back)
    assert type(again).__name__ == CLASSES[kind]
    assert again.model_max_length == ours.max_tokens
    assert_same(again, ours, texts)
    return ours


@pytest.mark.parametrize("kind", ["roberta", "clip", "t5"])
def test_a_tokenizer_that_transformers_saved(kind, tmp_path):
    if kind == "t5":
        theirs = transformers.T5Tokenizer(vocab=pieces())
    else:
        vocabulary, merges = pairs(kind)
        make = getattr(transformers, CLASSES[kind])
        theirs = make(vocab=vocabulary, merges=merges)
    theirs.save_pretrained(tmp_path)
    ours = assert_read(tmp_path, kind)
    assert_same(theirs, ours)
    assert sum(ours.encode(TEXTS).cut) > 100


@pytest.mark.parametrize("kind", ["roberta", "clip"])
@pytest.mark.parametrize("layout", sorted(folders("clip")))
def test_a_folder_of_old_files(kind, layout, tmp_path):
    folder = write(tmp_path, **folders(kind)[layout])
    assert_read(folder, kind)
    # The same with the tokenizer.json that transformers makes of it.
    theirs = getattr(transformers, CLASSES[kind]).from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "saved")
    assert_same(theirs, PublishedTokenizer.read(tmp_path / "saved", kind))


@pytest.mark.parametrize("files", VITS)
def test_phonemes(files, tmp_path):
    assert_read(write(tmp_path, **files), "vits", PHONEMES)


def test_text_as_phonemes(tmp_path):
    """Where the extra `speech` is installed."""
    espeak = pytest.importorskip("espeakng_loader")
    wrapper = pytest.importorskip("phonemizer.backend.espeak.wrapper").EspeakWrapper
    wrapper.set_library(espeak.get_library_path())
    wrapper.set_data_path(espeak.get_data_path())
    folder = write(tmp_path)
    for name, text in tokenizer_files.vits(40).items():
        (folder / name).write_text(text, encoding="utf-8")
    theirs = transformers.VitsTokenizer.from_pretrained(folder)
    ours = PublishedTokenizer.read(folder, "vits", 40)
    for text in (
        "Wish you have a GOOD day!",
        "Dr. Smith paid $5, at 3 p.m.;  then left",
        "  a\n\tnew line \u2014 and caf\u00e9 ",
        "123",
    ):
        said, _ = theirs.prepare_for_tokenization(text)
        assert ours.phonemes(text) == said
        expected = theirs([text], padding="max_length", truncation=True, max_length=40)
        assert ours.encode([said]).ids.tolist() == expected["input_ids"]


def test_a_model_of_sentencepiece(tmp_path, monkeypatch):
    pytest.importorskip("google.protobuf")
    # They ask for the library, and read the file without it.
    theirs = importlib.import_module("transformers.convert_slow_tokenizer")
    monkeypatch.setattr(theirs, "requires_backends", lambda *_: None)
    assert_read(write(tmp_path, spiece__model=SPIECE.read_bytes()), "t5")
