"""VITS' tokenizer of phonemes: a token a character, with blanks in between.

As transformers' `VitsTokenizer` does after it has asked for the phonemes of a text.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import config_file, espeak, tokenizer_files
from diffusion_audio.pretrained.tokenizer_files import CONFIG, LARGEST, VOCABULARY

CLASSES = ("VitsTokenizer",)
MAX_TOKENS = 310
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>"}
FLAGS = {"add_blank": True, "normalize": True, "phonemize": True}
BLANK = 0


def read(folder: Path, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A tokenizer, as the text of a vocab.json, and its settings.

    Raises:
        UserError: a file is missing or damaged, or the texts are to be written in Latin
            letters first.
    """
    path = folder / VOCABULARY
    vocabulary = dict(
        tokenizer_files.read_vocabulary(config_file.read(path, LARGEST), str(path))
    )
    special = tokenizer_files.read_special(folder, config, [], SPECIAL)
    for token in special.all():
        vocabulary.setdefault(token.content, len(vocabulary))
    for number, token in special.added.items():
        if vocabulary[token.content] != number:
            raise UserError(
                f"{path} is damaged: {token.content!r:.60} is token "
                f"{vocabulary[token.content]}, and added as token {number}"
            )
    flags = {name: config.get(name, usual) for name, usual in FLAGS.items()}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise UserError(f"{folder / CONFIG} is damaged: {flags} should be true or not")
    if config.get("is_uroman") or config.get("language") == "ron":
        raise UserError(
            f"{folder / CONFIG} rewrites letters before it makes tokens of them "
            "(is_uroman, language), which is not done here; expected English phonemes"
        )
    split = {"split": [token.content for token in special.all()]}
    named = {name: token.content for name, token in special.named.items()}
    text = json.dumps(vocabulary, ensure_ascii=False, indent=2)
    return text, named | flags | split


def phonemes(
    text: str, vocabulary: Mapping[str, int], config: Mapping[str, Any]
) -> str:
    """What `encode` takes, of a text in letters.

    Args:
        text: in letters.
        vocabulary: numbers by tokens.
        config: what `read` gives.

    Raises:
        UserError: phonemes are wanted, and eSpeak NG is not installed.
    """
    if not config["phonemize"]:
        return text
    if config["normalize"]:
        text = _in_lower_case(text, vocabulary)
    return espeak.phonemize(text)


def encode(text: str, vocabulary: Mapping[str, int], config: Mapping[str, Any]) -> list:
    """Token ids of phonemes; of letters where the tokenizer takes them as they are.

    Args:
        text: phonemes, or letters if not ``phonemize``.
        vocabulary: numbers by tokens.
        config: what `read` gives.
    """
    if config["normalize"] and not config["phonemize"]:
        lower = _in_lower_case(text, vocabulary)
        text = "".join(each for each in lower if each in vocabulary).strip()
    special, unknown = set(config["split"]), vocabulary[config["unk_token"]]
    pattern = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
    ids: list[int] = []
    for part in filter(None, re.split(f"({pattern})", text)):
        if part in special:
            ids.append(vocabulary[part])
            continue
        tokens = [vocabulary.get(character, unknown) for character in part]
        if config["add_blank"]:
            tokens = [each for token in tokens for each in (BLANK, token)] + [BLANK]
        ids += tokens
    return ids


def _in_lower_case(text: str, vocabulary: Mapping[str, int]) -> str:
    """A text in lower case but for the tokens in it."""
    pattern = "|".join(map(re.escape, vocabulary))
    return re.sub(f"({pattern})|(.)", _lower, text, flags=re.DOTALL)


def _lower(match: re.Match[str]) -> str:
    return match[1] if match[1] is not None else match[2].lower()
