"""SentencePiece's spiece.model, a protobuf, read as plain data by its field numbers.

Message and field numbers: sentencepiece_model.proto of google/sentencepiece.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from diffusion_audio.errors import UserError

UNIGRAM = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
SIZES = {FIXED64: 8, FIXED32: 4}


class Pieces(NamedTuple):
    """What a unigram model knows.

    Attributes:
        scored: the pieces in the order of their ids, each with its log probability.
        unknown: id of what is not in it.
        charsmap: the compiled table that normalises characters; empty where there is
            none.
    """

    scored: list[tuple[str, float]]
    unknown: int
    charsmap: bytes


def read_pieces(content: bytes, whose: str) -> Pieces:
    """The pieces of a spiece.model.

    Raises:
        UserError: it is damaged, or no unigram model.
    """
    try:
        pieces, model, unknown = [], UNIGRAM, 0
        charsmap = b""
        for field, value in _fields(content):
            if field == 1:
                piece = dict(_fields(_bytes(value)))
                (score,) = struct.unpack("<f", _bytes(piece.get(2, bytes(4))))
                pieces.append((_bytes(piece[1]).decode("utf-8"), score))
            elif field == 2:
                trainer = dict(_fields(_bytes(value)))
                model, unknown = _int(trainer.get(3, model)), _int(trainer.get(40, 0))
            elif field == 3:
                charsmap = _bytes(dict(_fields(_bytes(value))).get(2, b""))
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise UserError(
            f"{whose} is damaged, or no SentencePiece model; fetch it again"
        ) from error
    if model != UNIGRAM or not pieces:
        raise UserError(
            f"{whose} is no unigram model of SentencePiece, which T5's tokenizer is"
        )
    return Pieces(pieces, unknown, charsmap)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where text is expected")
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("text where a number is expected")
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message: varints as int, the rest bytes."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == BYTES:
            size, at = _varint(content, at)
        elif wire in SIZES:
            size = SIZES[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if size > len(content) - at:
            raise ValueError("a field that reaches past the end")
        yield number, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
