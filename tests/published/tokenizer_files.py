"""Files of tokenizers as published, of the words of a few sentences."""

import functools
import json
import string

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = (
    *("a dog barks loudly in the rain", "birds sing while water flows by"),
    *("a man speaks slowly, then laughs", "techno music with a strong beat"),
)
# How CLIP cuts a text into words.
CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
    r"|[^\s\p{L}\p{N}]+"
)
ROBERTA_SIZE, CLIP_SIZE = 400, 600
# Padding, punctuation, letters and the IPA; the last number ends a transcript.
PHONEMES = (
    *("_", *";:,.!?¡¿—…", *'"«»“” ', *string.ascii_letters),
    *("ɑɐɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏ"),
    *("ʑʐʒʔʡʕʢǀǁǂǃˈˌːˑʼʴʰʱʲʷˠˤ˞↓↑→↗↘'ᵻ"),
    "<unk>",
)


@functools.cache
def roberta(max_length=48):
    """RoBERTa's five files, text by name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(
        tokenizer,
        ROBERTA_SIZE,
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    special = {
        **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
        **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
        **{"mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>"},
    }
    config = special | {
        "add_prefix_space": False,
        "model_max_length": max_length,
        "tokenizer_class": "RobertaTokenizer",
    }
    return _bpe(tokenizer) | _described(special, config) | _whole(tokenizer)


@functools.cache
def t5(max_length=512):
    """T5's files but for its SentencePiece model, text by name.

    Its pieces are listed, not learnt: a unigram model's trainer does not give the same
    ones in each process.
    """
    letters = [*string.ascii_lowercase, *string.ascii_uppercase, *",.!?'-0123456789"]
    words = sorted({word for text in SENTENCES for word in text.split()})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -4.0 - 0.1 * i) for i, word in enumerate(words)]
    pieces += [(end, -5.0) for end in ("s", "ing", "er", "ed", "ly")]
    named = {piece for piece, _ in pieces}
    pieces += [(letter, -7.0) for letter in letters if letter not in named]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"],
        pair=["$A", "</s>", "$B", "</s>"],
        special_tokens=[("</s>", 1)],
    )
    named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = named | {
        "extra_ids": 0,
        "model_max_length": max_length,
        "tokenizer_class": "T5Tokenizer",
    }
    return _described(named, config) | _whole(tokenizer)


@functools.cache
def clip(max_length=77):
    """CLIP's files, which have no tokenizer.json, text by name."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _train(
        tokenizer,
        CLIP_SIZE,
        [],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
    )
    ends = ["<|startoftext|>", "<|endoftext|>"]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    pieces = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    room = CLIP_SIZE - len(pieces) - len(ends)
    for pair in merges[:room]:
        piece = "".join(pair)
        if piece not in pieces:
            pieces.append(piece)
    vocabulary = {piece: number for number, piece in enumerate([*pieces, *ends])}
    named = {
        "bos_token": _token(ends[0]),
        "eos_token": _token(ends[1]),
        "unk_token": _token(ends[1]),
        "pad_token": ends[1],
    }
    config = {
        "add_prefix_space": False,
        "bos_token": {"__type": "AddedToken", **_token(ends[0])},
        "do_lower_case": True,
        "eos_token": {"__type": "AddedToken", **_token(ends[1])},
        "errors": "replace",
        "model_max_length": max_length,
        "pad_token": ends[1],
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": {"__type": "AddedToken", **_token(ends[1])},
    }
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges[:room])]
    return {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "\n".join(lines) + "\n",
        **_described(named, config),
    }


def vits(max_length=24):
    """The files of VITS' tokenizer of phonemes, text by name."""
    vocabulary = {letter: number for number, letter in enumerate(PHONEMES)}
    special = {"pad_token": "_", "unk_token": "<unk>"}
    config = special | {
        "add_blank": False,
        "is_uroman": False,
        "language": "en-us",
        "model_max_length": max_length,
        "normalize": True,
        "phonemize": True,
        "tokenizer_class": "VitsTokenizer",
    }
    return {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        **_described(special, config),
    }


def _train(tokenizer, size, special, **options):
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, **options
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)


def _bpe(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    return {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(lines) + "\n",
    }


def _described(special, config):
    return {
        "special_tokens_map.json": json.dumps(special, indent=2),
        "tokenizer_config.json": json.dumps(config, indent=2),
    }


def _whole(tokenizer):
    return {"tokenizer.json": tokenizer.to_str()}


def _token(content):
    flags = {"lstrip": False, "normalized": True, "rstrip": False}
    return {"content": content, "single_word": False, **flags}
