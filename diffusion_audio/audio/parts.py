"""A part of an audio file: one stream of sound, of which joined files have several."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    """Where a stream lies in its file.

    Attributes:
        start: its first byte.
        stop: the end of its bytes.
        head: bytes that take the place of its first ones for the decoder, where its
            header does not say how long it is.
        frames: samples of each channel, as counted; ``None`` where the decoder's count
            is right.
    """

    start: int
    stop: int
    head: bytes = b""
    frames: int | None = None
