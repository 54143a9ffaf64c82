"""Folders of tiny tokenizers, written file by file as published ones are."""

import json
import re
from pathlib import Path

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

GOLDEN = Path(__file__).parent / "golden" / "tokenizers.json"
SPIECE = GOLDEN.with_name("spiece.model")
LENGTH = 24  # of the golden rows
SENTENCES = [
    "A dog barks twice in the rain, and a car's horn answers.",
    "Techno music with a strong, upbeat tempo; 120 BPM!",
    "It's the sound of water, isn't it? Wind blows and leaves rustle.",
    "The quick brown fox doesn't jump over 13 lazy dogs' beds.",
    "Ein Hund bellt, während Glocken läuten. Naïve café.",
]
TEXTS = [
    "",
    " ",
    "A dog barks",
    "a DOG BARKS in THE rain",
    "  two  spaces   and more ",
    "a\nnew\r\nline\tand a tab\u00a0",
    "It's they're we'll I'd 120 BPM 2024!!! ???",
    "naïve café, cafe\u0301 ÄÖÜ ß ﬁ Ⅷ ½",
    "犬が吠える。 собака лает كلب",
    "🐕 barks 👩‍👩‍👧 \U0001f1e9\U0001f1ea",
    "<s>inside</s> <pad> <mask> <unk> <extra_id_0> <|endoftext|> <|STARTOFTEXT|>",
    "▁ underscore_ ▁▁x \u200b\ufeff\x00\x07 end",
    "supercalifragilistic" * 9,
    "dogs bark and horns answer in the rain " * 30,
    "'s 't 's's ''ll",
    "<more>x <tone>y Bark, Barks <s> </s>  <|startoftext|>  more ?",
    "İstanbul ŉ ẞ ΑΣ",
]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CLIP = ["<|startoftext|>", "<|endoftext|>"]
T5 = ["<pad>", "</s>", "<unk>"]


def pairs(kind):
    """Vocabulary and merges of a tiny byte-level model."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    if kind == "clip":  # learned, it is not the same twice: each word, from its start
        merges = {}
        for word in sorted(set(re.findall("[a-z]+", " ".join(SENTENCES).lower()))):
            letter, *others = [*word[:-1], f"{word[-1]}</w>"]
            for other in others:
                merges[letter, other] = letter = letter + other
        parts = [*letters, *(f"{letter}</w>" for letter in letters)]
        listed = [*parts, *dict.fromkeys(merges.values()), *CLIP]
        return {token: i for i, token in enumerate(listed)}, list(merges)
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=letters,
        special_tokens=ROBERTA[:4],
        show_progress=False,
    )
    model.train_from_iterator(SENTENCES, trainer)
    learned = json.loads(model.to_str())["model"]
    mask = {ROBERTA[4]: len(learned["vocab"])}
    return learned["vocab"] | mask, [tuple(pair) for pair in learned["merges"]]


def pieces(extra=100):
    """Pieces with scores of a tiny unigram model, the sentinels at the end."""
    model = tokenizers.Tokenizer(models.Unigram())
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=T5, unk_token="<unk>", show_progress=False
    )
    model.train_from_iterator(SENTENCES, trainer)
    learned = json.loads(model.to_str())["model"]["vocab"]
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in reversed(range(extra))]
    return [(piece, score) for piece, score in learned] + sentinels


def write(folder, **files):
    """Files by names, with ``__`` for the point: objects as JSON, texts as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
    return folder


def phonemes():
    """A vocabulary as VITS' are: blank, unknown, punctuation, letters, stress."""
    return {token: i for i, token in enumerate(["_", *";:,.!? abdeghiklmnəɹʃˈˌːU"])}


PHONEMES = [
    "",
    " ",
    "hˈəlɹ, ʃˈaː!",
    "a <unk> b<pad>_d",
    "Abd HELLO U?",
    "é 犬 \n\t",
    "ab d " * 40,
]


VITS = [
    {"vocab__json": phonemes(), "tokenizer_config__json": {"phonemize": False} | more}
    for more in (
        {"normalize": False},
        {"normalize": True},
        {"normalize": False, "add_blank": False},
        {"pad_token": "_", "unk_token": "_"},
    )
]


def merges_text(merges):
    return "\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n"


def old(text, **flags):
    """A token as folders of before transformers 4.34 write it."""
    usual = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": text} | usual | flags


def folders(kind):
    """Files of folders of a kind as they were written over the years, by a name."""
    vocabulary, merges = pairs(kind)
    learned = {"vocab__json": vocabulary, "merges__txt": merges_text(merges)}
    ends = ["<|startoftext|>", "<|endoftext|>"] if kind == "clip" else ["<s>", "</s>"]
    names = ["bos_token", "eos_token"] if kind == "clip" else ["cls_token", "sep_token"]
    named = {name: old(text) for name, text in zip(names, ends, strict=True)}
    short = {name: {"content": token["content"]} for name, token in named.items()}
    other = {} if kind == "clip" else {"bos_token": "?"}  # not what starts a text
    plain = {name: without_type(token) for name, token in named.items()}
    mask = {"mask_token": without_type(old("<mask>", lstrip=True, normalized=False))}
    class_name = "CLIPTokenizer" if kind == "clip" else "RobertaTokenizer"
    decoder = {
        str(vocabulary[text]): without_type(old(text, special=True, rstrip=i == 1))
        for i, text in enumerate(ends)
    }
    return {
        "bare": learned,
        "class": learned
        | {
            "tokenizer_config__json": named
            | {"tokenizer_class": class_name, "model_max_length": 40},
            "special_tokens_map__json": plain
            | other
            | {"pad_token": "!", "additional_special_tokens": ["<more>"]},
        },
        "mask": learned | {"special_tokens_map__json": short | mask},
        "space": learned | {"tokenizer_config__json": {"add_prefix_space": True}},
        "decoder": learned
        | {"tokenizer_config__json": {"added_tokens_decoder": decoder}},
        "added": learned
        | {
            "added_tokens__json": {
                "<tone>": len(vocabulary),
                "Bark": len(vocabulary) + 1,
            }
        },
    }


def without_type(token):
    return {name: value for name, value in token.items() if name != "__type"}
