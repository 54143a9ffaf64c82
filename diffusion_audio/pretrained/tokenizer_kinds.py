"""RoBERTa's, T5's and CLIP's tokenizers, made of their vocabularies.

How a text is cut into words is the code of each kind, not what a tokenizer.json says:
of that file the vocabulary, the merges and the added tokens are read, as transformers 5
does. So one made of vocab.json and merges.txt, or of a spiece.model, is the same.
"""

import base64
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained import config_file, tokenizer_files
from diffusion_audio.pretrained.spiece import read_pieces
from diffusion_audio.pretrained.tokenizer_files import (
    LARGEST,
    MERGES,
    PIECES,
    TOKENIZER,
    VOCABULARY,
    Special,
)

T5_UNKNOWN = 2
PANIC = "PanicException"
CLIP_WORD = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


class Kind(NamedTuple):
    """A kind of tokenizer.

    Attributes:
        classes: of transformers; the first one reads what we write.
        max_tokens: that its network was trained with.
        special: tokens that it needs, by name.
        make: it, of the pieces that a file holds and of its config.
        model: the type of ``model`` in tokenizer.json.
        suffix: ``end_of_word_suffix`` of that model.
    """

    classes: tuple[str, ...]
    max_tokens: int
    special: dict[str, str]
    make: Callable[["Learned", Special, Mapping[str, Any], str], tokenizers.Tokenizer]
    model: str
    suffix: str = ""


class Learned(NamedTuple):
    """What training gave a tokenizer: of byte pairs, or of pieces with their scores."""

    vocabulary: Any
    merges: Any = ()
    charsmap: bytes = b""


def read(folder: Path, name: str, config: Mapping[str, Any]) -> tuple[str, Special]:
    """A tokenizer, as the text of a tokenizer.json, and its special tokens.

    Args:
        folder: of its files.
        name: of its kind.
        config: its tokenizer_config.json.

    Raises:
        UserError: a file is missing, damaged, or of another kind.
    """
    kind, path = KINDS[name], folder / TOKENIZER
    whose, content = str(path), tokenizer_files.optional(folder, TOKENIZER)
    numbered = content.get("added_tokens") or []
    if not isinstance(numbered, list):
        raise UserError(f"{whose} is damaged: its added_tokens are no list")
    special = tokenizer_files.read_special(folder, config, numbered, kind.special)
    if content:
        learned = _learned(content, kind, whose)
    elif name == "t5":
        whose = str(folder / PIECES)
        learned = _pieces(folder, _extra_ids(config, whose))
    else:
        whose = str(folder / VOCABULARY)
        learned = _pairs(folder)
    with refusing(f"{whose} is damaged"):
        return kind.make(learned, special, config, whose).to_str(), special


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Whatever the library raises within, as a mistake of a file.

    That is bare Exception, and PanicException, which is none but a BaseException that
    cannot be imported: its code has met what it did not expect.

    Args:
        what: to say first.

    Raises:
        UserError: in the place of those.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        text = shortened(" ".join(str(error).split()))
        raise UserError(f"{what}: {text}") from error


def _learned(content: Mapping[str, Any], kind: Kind, whose: str) -> Learned:
    """What a tokenizer.json holds."""
    model = content.get("model")
    if not isinstance(model, dict):
        raise UserError(f"{whose} is damaged: it has no model")
    got = model.get("type") or kind.model  # old files do not say
    suffix = model.get("end_of_word_suffix") or ""
    if got != kind.model or suffix != kind.suffix:
        raise UserError(
            f"{whose} is of another kind: a {got} model with words that end in "
            f"{suffix!r}; expected that of a {kind.classes[0]}, {kind.model} with "
            f"{kind.suffix!r}"
        )
    if kind.model == "BPE":
        return Learned(model.get("vocab"), model.get("merges"))
    if model.get("unk_id") != T5_UNKNOWN:
        raise _other_unknown(whose, model.get("unk_id"))
    return Learned(model.get("vocab"), charsmap=_charsmap(content, whose))


def _charsmap(content: Mapping[str, Any], whose: str) -> bytes:
    """SentencePiece's table of characters among the normalizers of a tokenizer.json."""
    normalizer = content.get("normalizer") or {}
    try:
        for each in normalizer.get("normalizers") or [normalizer]:
            if each.get("type") == "Precompiled":
                return base64.b64decode(each["precompiled_charsmap"] or "")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{whose} is damaged: its normalizer is none") from error
    return b""


def _pairs(folder: Path) -> Learned:
    if not (folder / VOCABULARY).exists():
        raise UserError(
            f"{folder} has no tokenizer: expected {TOKENIZER}, or {VOCABULARY} and "
            f"{MERGES}; fetch them"
        )
    vocabulary = config_file.read(folder / VOCABULARY, LARGEST)
    return Learned(vocabulary, tokenizer_files.read_merges(folder))


def _pieces(folder: Path, extra: int) -> Learned:
    path = folder / PIECES
    if not path.exists():
        raise UserError(
            f"{folder} has no tokenizer: expected {TOKENIZER} or {PIECES}; fetch one"
        )
    pieces = read_pieces(tokenizer_files.read_bytes(path), str(path))
    if pieces.unknown != T5_UNKNOWN:
        raise _other_unknown(str(path), pieces.unknown)
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in reversed(range(extra))]
    return Learned([*pieces.scored, *sentinels], charsmap=pieces.charsmap)


def _other_unknown(whose: str, got: object) -> UserError:
    return UserError(
        f"{whose} is not T5's: token {got} stands for what is unknown; expected "
        f"{T5_UNKNOWN}"
    )


def _extra_ids(config: Mapping[str, Any], whose: str) -> int:
    count = config.get("extra_ids", 100)
    if type(count) is not int or not 0 <= count <= 10_000:
        raise UserError(f"{whose}: {count!r:.60} is no number of extra_ids")
    return count


def _bpe(learned: Learned, suffix: str, unknown: str | None, whose: str) -> models.BPE:
    return models.BPE(
        vocab=tokenizer_files.read_vocabulary(learned.vocabulary, whose),
        merges=tokenizer_files.as_merges(learned.merges, whose),
        dropout=None,
        continuing_subword_prefix="",
        end_of_word_suffix=suffix,
        fuse_unk=False,
        unk_token=unknown,
    )


def _roberta(
    learned: Learned, special: Special, config: Mapping[str, Any], whose: str
) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(_bpe(learned, "", None, whose))
    space = bool(config.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    return _framed(tokenizer, special, ("cls_token", "sep_token"), whose, space)


def _clip(
    learned: Learned, special: Special, config: Mapping[str, Any], whose: str
) -> tokenizers.Tokenizer:
    del config
    unknown = special.named["unk_token"].content
    tokenizer = tokenizers.Tokenizer(_bpe(learned, "</w>", unknown, whose))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _framed(tokenizer, special, ("bos_token", "eos_token"), whose)


def _framed(
    tokenizer: tokenizers.Tokenizer,
    special: Special,
    ends: tuple[str, str],
    whose: str,
    space: bool = False,
) -> tokenizers.Tokenizer:
    """With a token at the start of each text and one at its end."""
    tokenizer_files.add(tokenizer, special, whose)
    texts = [special.named[name].content for name in ends]
    vocabulary = tokenizer.get_vocab()
    first, last = [(text, vocabulary[text]) for text in texts]
    tokenizer.post_processor = processors.RobertaProcessing(
        last, first, trim_offsets=False, add_prefix_space=space
    )
    return tokenizer


def _t5(
    learned: Learned, special: Special, config: Mapping[str, Any], whose: str
) -> tokenizers.Tokenizer:
    pieces = []
    for each in learned.vocabulary if isinstance(learned.vocabulary, list) else [None]:
        match each:
            case [str(piece), float() | int() as score] if math.isfinite(score):
                pieces.append((piece, float(score)))
            case _:
                raise UserError(
                    f"{whose} is damaged: expected pieces with their scores, got "
                    f"{shortened(repr(each))}"
                )
    tokenizer = tokenizers.Tokenizer(
        models.Unigram(pieces, unk_id=T5_UNKNOWN, byte_fallback=False)
    )
    if learned.charsmap:
        tokenizer.normalizer = normalizers.Precompiled(learned.charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    texts = [f"<extra_id_{i}>" for i in range(_extra_ids(config, whose))]
    sentinels = [AddedToken(text, special=True) for text in texts]
    special = special._replace(extra=[*special.extra, *sentinels])
    tokenizer_files.add(tokenizer, special, whose)
    end = special.named["eos_token"].content
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", end], special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    return tokenizer


KINDS = {
    "roberta": Kind(
        ("RobertaTokenizer", "RobertaTokenizerFast", "TokenizersBackend"),
        512,
        {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "cls_token": "<s>",
            "mask_token": "<mask>",
        },
        _roberta,
        "BPE",
    ),
    "t5": Kind(
        ("T5Tokenizer", "T5TokenizerFast", "TokenizersBackend"),
        128,
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        _t5,
        "Unigram",
    ),
    "clip": Kind(
        ("CLIPTokenizer", "CLIPTokenizerFast", "TokenizersBackend"),
        77,
        {
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
        _clip,
        "BPE",
        "</w>",
    ),
}
"""By the names that `PublishedTokenizer` has for them."""
