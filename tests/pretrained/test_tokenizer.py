"""Tokenizers of published files: golden ids, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import tokenizer_files
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.pretrained.tokenizer_kinds import refusing
from tests.pretrained.tokenizer_folders import (
    GOLDEN,
    LENGTH,
    PHONEMES,
    SPIECE,
    TEXTS,
    VITS,
    folders,
    merges_text,
    pairs,
    write,
)

ROWS = json.loads(GOLDEN.read_text(encoding="utf-8"))


def files_of(name):
    """Files of a golden folder, its kind, and the texts that it was asked for."""
    kind, _, layout = name.partition("/")
    if kind == "t5":
        return {"spiece__model": SPIECE.read_bytes()}, kind, TEXTS
    if kind == "vits":
        return VITS[int(layout)], kind, PHONEMES
    return folders(kind)[layout], kind, TEXTS


@pytest.fixture(params=["roberta", "t5", "clip", "vits"])
def tokenizer(request, tmp_path):
    name = {"t5": "t5", "vits": "vits/0"}.get(request.param, f"{request.param}/class")
    files, kind, _ = files_of(name)
    return PublishedTokenizer.read(write(tmp_path / kind, **files), kind, LENGTH)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_ids_are_those_of_transformers(name, tmp_path):
    files, kind, texts = files_of(name)
    folder = write(tmp_path / "it", **files)
    tokenizer = PublishedTokenizer.read(folder, kind, LENGTH)
    encoded = tokenizer.encode(texts)
    assert encoded.ids.dtype == np.int32
    assert encoded.mask.dtype == bool
    for row, expected, text in zip(encoded.ids, ROWS[name], texts, strict=True):
        np.testing.assert_array_equal(row, expected, repr(text))
    # What is written of it is read as the same, by tokenizer.json or without it.
    for names in (None, ("tokenizer.json",), ("vocab.json", "merges.txt")):
        written = tokenizer.files()
        if names and not written.keys() >= set(names):
            continue
        left_out = {"tokenizer.json"} if names and "merges.txt" in names else set()
        if left_out and name.endswith(("added", "class", "mask", "decoder")):
            continue  # flags of tokens are kept nowhere else
        again = write(tmp_path / f"again{names}")
        for file in written.keys() - left_out:
            (again / file).write_text(written[file], encoding="utf-8")
        back = PublishedTokenizer.read(again, kind)
        assert back.max_tokens == LENGTH
        np.testing.assert_array_equal(back.encode(texts).ids, encoded.ids)


def test_a_long_text_keeps_its_ends_and_says_what_is_cut(tokenizer):
    text = "rain and a dog " * 40 if tokenizer.kind != "vits" else "ab " * 80
    whole = dataclasses.replace(tokenizer, max_tokens=1000).encode([text, ""])
    encoded = tokenizer.encode([text, ""])
    count = whole.mask[0].sum()
    assert encoded.cut == (count - LENGTH, 0)
    assert whole.cut == (0, 0)
    assert encoded.mask[0].all()
    ends = {"roberta": 1, "clip": 1, "t5": 1, "vits": 0}[tokenizer.kind]
    kept = LENGTH - ends
    np.testing.assert_array_equal(encoded.ids[0, :kept], whole.ids[0, :kept])
    if ends:
        assert encoded.ids[0, -1] == whole.ids[0, count - 1]


def test_padding_stands_on_the_right_and_is_masked(tokenizer):
    encoded = tokenizer.encode(["ab"])
    real = encoded.mask.sum()
    assert 2 < real < LENGTH
    assert encoded.mask[0, :real].all()
    # CLIP's folder here says "!", as that of Stable Diffusion 2 does.
    number = {"roberta": tokenizer.encode(["!"]).ids[0, 1], "t5": 0}
    number["clip"] = pairs("clip")[0]["!"]
    number["vits"] = tokenizer.encode(["<pad>"]).ids[0, 0]
    assert set(encoded.ids[0, real:]) == {number[tokenizer.kind]}


def test_one_text_keeps_it_all(tokenizer):
    again = PublishedTokenizer.from_json(tokenizer.to_json())
    assert again == tokenizer
    assert again.to_json() == tokenizer.to_json()
    for text in ("", "{}", "[]", "null", tokenizer.to_json()[:-9], '{"kind": "bert"}'):
        with pytest.raises(UserError, match=r"^not a stored tokenizer: "):
            PublishedTokenizer.from_json(text)


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, 77), (10**30, 77), (20, 20), (512, 77)],
)
def test_the_usual_length_or_less(said, expected, tmp_path):
    more = {} if said is None else {"model_max_length": said}
    files = folders("clip")["bare"] | {"tokenizer_config__json": more}
    folder = write(tmp_path, **files)
    assert PublishedTokenizer.read(folder, "clip").max_tokens == expected
    assert PublishedTokenizer.read(folder, "clip", 9).max_tokens == 9


def test_no_texts_and_no_characters(tokenizer):
    assert tokenizer.encode([]).ids.shape == (0, LENGTH)
    with pytest.raises(UserError, match="not valid Unicode at character 2"):
        tokenizer.encode(["a\ud800"])
    with pytest.raises(UserError, match="at least 3"):
        dataclasses.replace(tokenizer, max_tokens=2)


def damaged(**files):
    return folders("clip")["bare"] | files


def model(**more):
    vocabulary, merges = pairs("clip")
    return {
        "tokenizer__json": {
            "model": {
                "type": "BPE",
                "end_of_word_suffix": "</w>",
                "vocab": vocabulary,
                "merges": merges,
                **more,
            }
        }
    }


REFUSED = {
    "code": (
        damaged(tokenizer_config__json={"auto_map": {"AutoTokenizer": ["x.Y", None]}}),
        "tokenizer_config.json asks for code of its own .auto_map",
    ),
    "class": (
        damaged(tokenizer_config__json={"tokenizer_class": "MyTokenizer"}),
        "is of 'MyTokenizer'; expected a tokenizer of the class CLIPTokenizer or",
    ),
    "nothing": ({}, "has no tokenizer: expected tokenizer.json, or vocab.json and"),
    "no merges": (
        {"vocab__json": pairs("clip")[0]},
        "merges.txt: No such file or directory; fetch",
    ),
    "a pair of three": (damaged(merges__txt="a b\na b c\n"), "merges of two tokens"),
    "an unknown pair": (damaged(merges__txt="犬 b\n"), "vocab.json is damaged: .*犬"),
    "not UTF-8": (damaged(merges__txt=b"\xff b\n"), "merges.txt is damaged: it is not"),
    "not JSON": (damaged(vocab__json="{"), "vocab.json is not valid JSON"),
    "one number": (damaged(vocab__json={"a": 0, "b": 0}), "have the same number"),
    "no number": (damaged(vocab__json={"a": -1}), "expected a vocabulary"),
    "another model": (model(type="Unigram"), "is of another kind: a Unigram model"),
    "another end": (model(end_of_word_suffix=""), "is of another kind: a BPE model"),
    "no model": ({"tokenizer__json": {"version": "1.0"}}, "it has no model"),
    "a token": (
        damaged(special_tokens_map__json={"bos_token": {"content": 3}}),
        "special_tokens_map.json is damaged: .* is no special token",
    ),
    "no token": (
        damaged(tokenizer_config__json={"pad_token": None}),
        "gives no pad_token, which this tokenizer needs",
    ),
    "an added number": (
        damaged(added_tokens__json={"<tone>": 5}),
        "'<tone>' is added as token 5, but in its vocabulary 6",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_in_a_line(why, tmp_path):
    files, message = REFUSED[why]
    with pytest.raises(UserError, match=message) as caught:
        PublishedTokenizer.read(write(tmp_path, **files), "clip")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    folder = write(tmp_path, **folders("clip")["bare"])
    monkeypatch.setattr(tokenizer_files, "LARGEST", 500)
    with pytest.raises(UserError, match=r"merges.txt is too large"):
        PublishedTokenizer.read(folder, "clip")


def test_kinds():
    with pytest.raises(UserError, match=r"unknown kind of tokenizer 'cli'.*'clip'"):
        PublishedTokenizer.read(SPIECE.parent, "cli")


def test_a_damaged_model_of_sentencepiece(tmp_path):
    content = SPIECE.read_bytes()
    path = write(tmp_path) / "spiece.model"
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"damaged|no unigram|not T5's"):
            PublishedTokenizer.read(tmp_path, "t5")
    # A table of characters, of 1024 bytes, that points outside: the library panics.
    root = content.index(b"\x00\x04\x00\x00") + 4
    path.write_bytes(content[:root] + b"\xff" * 4 + content[root + 4 :])
    with pytest.raises(UserError, match=r"the tokenizer is damaged; .*out of bounds"):
        PublishedTokenizer.read(tmp_path, "t5").encode(TEXTS)


def test_a_model_whose_unknown_is_not_t5s(tmp_path):
    content = SPIECE.read_bytes()
    number = content.index(b"\xc0\x02\x02")  # field 40, a varint: 2
    path = write(tmp_path) / "spiece.model"
    path.write_bytes(content[: number + 2] + b"\x03" + content[number + 3 :])
    with pytest.raises(UserError, match=r"not T5's: token 3 stands for"):
        PublishedTokenizer.read(tmp_path, "t5")
    # Two more fields: a trainer whose field 3 says byte pairs.
    path.write_bytes(content + b"\x12\x02\x18\x02")
    with pytest.raises(UserError, match=r"is no unigram model"):
        PublishedTokenizer.read(tmp_path, "t5")
    path.write_bytes(content)
    whole = json.loads(PublishedTokenizer.read(tmp_path, "t5").content)
    whole["model"]["unk_id"] = 1
    write(tmp_path, tokenizer__json=whole)
    with pytest.raises(UserError, match=r"not T5's: token 1 stands for"):
        PublishedTokenizer.read(tmp_path, "t5")


def test_a_break_is_no_damage():
    with pytest.raises(KeyboardInterrupt), refusing("it"):
        raise KeyboardInterrupt


def test_phonemes_are_taken_as_they_are(tmp_path):
    write(tmp_path, **VITS[0])
    write(tmp_path, tokenizer_config__json={})  # VITS' own: normalised before it speaks
    encoded = PublishedTokenizer.read(tmp_path, "vits").encode(["aQ "])
    unknown = len(VITS[0]["vocab__json"])
    assert encoded.ids[0, :7].tolist() == [0, 8, 0, unknown, 0, 7, 0]
    assert encoded.mask.sum() == 7


def test_what_a_phoneme_tokenizer_cannot_be(tmp_path):
    write(tmp_path, **VITS[0])
    write(tmp_path, tokenizer_config__json={"is_uroman": True})
    with pytest.raises(UserError, match="rewrites letters"):
        PublishedTokenizer.read(tmp_path, "vits")
    write(tmp_path, tokenizer_config__json={"add_blank": "yes"})
    with pytest.raises(UserError, match="should be true or not"):
        PublishedTokenizer.read(tmp_path, "vits")


def test_merges_of_other_systems(tmp_path):
    vocabulary, merges = pairs("roberta")
    lines = merges_text(merges).replace("\n", "\r\n")
    plain = write(tmp_path / "a", **folders("roberta")["bare"])
    other = write(tmp_path / "b", vocab__json=vocabulary, merges__txt=lines.encode())
    ids = [
        PublishedTokenizer.read(x, "roberta", 40).encode(TEXTS).ids
        for x in (plain, other)
    ]
    np.testing.assert_array_equal(*ids)
