"""What the files of a published tokenizer say, before anything is made of it.

Special tokens as transformers reads them: special_tokens_map.json goes before
tokenizer_config.json, which goes before what is known of the kind; a list of added
tokens in tokenizer_config.json goes before all others.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained import config_file

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
VOCABULARY, MERGES, PIECES = "vocab.json", "merges.txt", "spiece.model"
SPECIAL, ADDED = "special_tokens_map.json", "added_tokens.json"
LARGEST = 32 << 20  # bytes; the largest published one has 2.5 million
NAMES = tuple(
    f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
)
EXTRA = ("extra_special_tokens", "additional_special_tokens")
FLAGS = {"lstrip", "rstrip", "single_word", "normalized", "special"}


class Special(NamedTuple):
    """The tokens that stand for no piece of text.

    Attributes:
        named: by what each is for, such as ``pad_token``.
        added: those that have a number of their own, by it.
        extra: further ones.
    """

    named: dict[str, AddedToken]
    added: dict[int, AddedToken]
    extra: list[AddedToken]

    def all(self) -> list[AddedToken]:
        """Each once, in the order in which they get their numbers."""
        found: dict[str, AddedToken] = {}
        numbered = [self.added[number] for number in sorted(self.added)]
        for token in (*numbered, *self.named.values(), *self.extra):
            found.setdefault(token.content, token)
        return list(found.values())


def optional(folder: Path, name: str) -> dict[str, Any]:
    """A file of JSON, or an empty object where there is none.

    Raises:
        UserError: it is damaged or too large.
    """
    path = folder / name
    return config_file.read(path, LARGEST) if path.exists() else {}


def read_config(folder: Path, classes: Iterable[str]) -> dict[str, Any]:
    """What tokenizer_config.json says.

    Args:
        folder: of the tokenizer.
        classes: names that transformers has for a tokenizer of this kind.

    Raises:
        UserError: it asks for code of its own, or for a tokenizer of another kind.
    """
    config = optional(folder, CONFIG)
    config_file.refuse_code(config, str(folder / CONFIG), "tokenizer")
    known, named = tuple(classes), config.get("tokenizer_class")
    if named is not None and named not in known:
        raise UserError(
            f"{folder / CONFIG} is of {shortened(repr(named))}; expected a tokenizer "
            f"of the class {' or '.join(known)}"
        )
    return config


def read_special(
    folder: Path,
    config: Mapping[str, Any],
    numbered: Iterable[Mapping[str, Any]],
    defaults: Mapping[str, str],
) -> Special:
    """The special tokens of a folder.

    Args:
        folder: of the tokenizer.
        config: its tokenizer_config.json.
        numbered: added tokens that tokenizer.json lists, with their ``id``.
        defaults: texts of the named tokens of its kind.

    Raises:
        UserError: a file is damaged, or a token that the kind needs is missing.
    """
    whose = str(folder / CONFIG)
    said: dict[str, Any] = {name: config[name] for name in NAMES if name in config}
    extra: Any = next((config[name] for name in EXTRA if config.get(name)), [])
    added = {}
    if "added_tokens_decoder" in config:
        for number, token in _object(config["added_tokens_decoder"], whose).items():
            added[_number(number, whose)] = _token(token, whose)
    else:
        whose = str(folder / SPECIAL)
        for name, value in optional(folder, SPECIAL).items():
            if name in NAMES:
                said[name] = value
            elif name in EXTRA:
                extra = value
        for text, number in optional(folder, ADDED).items():
            special = text in [_text(value) for value in said.values()]
            token = AddedToken(text, normalized=not special, special=special)
            added[_number(number, str(folder / ADDED))] = token
        for each in numbered:
            whose = str(folder / TOKENIZER)
            added[_number(_object(each, whose).get("id"), whose)] = _token(each, whose)
    named = {}
    for name in NAMES:
        value = said.get(name, defaults.get(name))
        if value is not None:
            named[name] = _token(value, whose)
            named[name].special = True
        elif name in defaults:
            raise UserError(f"{whose} gives no {name}, which this tokenizer needs")
    listed = list(extra.values()) if isinstance(extra, dict) else extra
    if not isinstance(listed, list):
        raise UserError(f"{whose} is damaged: its {EXTRA[0]} are no list")
    return Special(named, added, [_token(each, whose) for each in listed])


def add(tokenizer: tokenizers.Tokenizer, special: Special, whose: str) -> None:
    """Adds special tokens to a tokenizer.

    Raises:
        UserError: they do not get the numbers that the files give them.
    """
    tokenizer.add_tokens(special.all())
    for number, token in special.added.items():
        got = tokenizer.token_to_id(token.content)
        if got != number:
            raise UserError(
                f"{whose} is damaged: {shortened(repr(token.content))} is added as "
                f"token {number}, but in its vocabulary {got} is the number of it"
            )


def read_vocabulary(vocabulary: object, whose: str) -> dict[str, int]:
    """Numbers by tokens.

    Raises:
        UserError: it is none, or two tokens have the same number.
    """
    numbers = vocabulary.values() if isinstance(vocabulary, dict) else []
    if not all(type(n) is int and 0 <= n < 1 << 31 for n in numbers) or not numbers:
        raise UserError(f"{whose} is damaged: expected a vocabulary, numbers by tokens")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{whose} is damaged: two of its tokens have the same number")
    assert isinstance(vocabulary, dict)
    return vocabulary


def read_merges(folder: Path) -> list[tuple[str, str]]:
    """The pairs of merges.txt, the first to be merged first.

    Raises:
        UserError: it is not there, or damaged.
    """
    path = folder / MERGES
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: it is not UTF-8") from error
    # Not splitlines: a token may be of what Unicode calls the end of a line.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    return as_merges([x for x in lines if x and not x.startswith("#version")], path)


def as_merges(listed: object, whose: str | Path) -> list[tuple[str, str]]:
    """Pairs, each as such or as a text with a space in between.

    Raises:
        UserError: one is none.
    """
    pairs = []
    for each in listed if isinstance(listed, list) else [None]:
        pair = each.split(" ") if isinstance(each, str) else each
        match pair:
            case [str(first), str(second)]:
                pairs.append((first, second))
            case _:
                raise UserError(
                    f"{whose} is damaged: expected merges of two tokens, got "
                    f"{shortened(repr(each))}"
                )
    return pairs


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UserError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; fetch the tokenizer") from error
    if len(content) > LARGEST:
        raise UserError(f"{path} is too large for what it is: above {LARGEST} bytes")
    return content


def _object(value: Any, whose: str) -> Any:
    if not isinstance(value, Mapping):
        raise UserError(f"{whose} is damaged: {value!r:.60} stands for added tokens")
    return value


def _number(value: Any, whose: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UserError(f"{whose} is damaged: {value!r:.60} is no number of a token")
    return int(text)


def _text(value: Any) -> Any:
    return value.get("content") if isinstance(value, dict) else value


def _token(value: Any, whose: str) -> AddedToken:
    """A token written as a text, or as an object with its content and flags."""
    text = _text(value)
    flags = value if isinstance(value, dict) else {"special": True}
    try:
        if text:
            return AddedToken(
                text, **{name: flags[name] for name in FLAGS & flags.keys()}
            )
    except (TypeError, UnicodeEncodeError):
        pass
    raise UserError(f"{whose} is damaged: {value!r:.60} is no special token")
