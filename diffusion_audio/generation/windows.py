"""Long sounds in bounded memory, window by window, with no audible joins.

Where what is done to a window is local, a sample of what comes out depends on no more
than a margin to either side. So windows that overlap by that much agree in their
middles with the whole, and only the middles are kept. Where it is not, they differ, and
one fades into the next.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from diffusion_audio.diffusion.multidiffusion import Windows
from diffusion_audio.errors import UserError


def cut(
    blocks: Iterable[np.ndarray], size: int, overlap: int, fill: float | None = None
) -> Iterator[tuple[np.ndarray, slice]]:
    """Windows of a stream of samples or frames, and what of each to keep.

    What is kept of all is the stream. The first window begins where the stream does,
    and the last ends with it, so even the edges are those of the whole; a stream no
    longer than a window is one window of its own length. With ``fill`` all are of one
    size instead, and at least ``overlap`` of that follow the stream.

    Args:
        blocks: [n, ...] each; drawn as they are needed.
        size: length of a window.
        overlap: what lies to both sides of what is kept, but for the stream's ends.
        fill: what follows the stream; nothing where None.

    Yields:
        A window [size, ...], and the part of it to keep.

    Raises:
        UserError: the windows are too small to have a middle.
    """
    if size <= 2 * overlap:
        raise UserError(
            f"windows of {size} are too small: more than {2 * overlap} are needed, "
            "twice what a sample depends on"
        )
    waiting = iter(blocks)
    held = next(waiting, np.zeros(0, np.float32))
    passed = held[:0]
    ended, last, start = False, False, 0
    while not last:
        while len(held) <= size and not ended:  # one more says that it goes on
            block = next(waiting, None)
            ended = block is None
            held = held if block is None else np.concatenate([held, block])
        if not len(held):  # the stream is empty
            return
        last = ended and len(held) + (0 if fill is None else overlap) <= size
        stop = len(held) if last else min(size - overlap, len(held))
        window = held[:size]
        short = size - len(window)
        if short and fill is not None:
            after = [(0, short), *((0, 0),) * (window.ndim - 1)]
            window = np.pad(window, after, constant_values=fill)
        elif short and len(passed):
            window = np.concatenate([passed[-short:], window])
            start, stop = start + short, stop + short
        yield window, slice(start, stop)
        passed, held = np.split(held, [size - 2 * overlap])
        start = overlap


def stream(
    vocode: Callable[[np.ndarray], np.ndarray],
    mel: np.ndarray,
    *,
    hop: int,
    margin: int,
    size: int = 2048,
) -> Iterator[np.ndarray]:
    """The waveform of log-mels in pieces, whose concatenation is that of the whole.

    Args:
        vocode: [B, T, F] -> [B, T * hop]; it is given one shape only.
        mel: [B, T, F]; may be a memory map, as only windows of it are read.
        hop: samples for each frame.
        margin: frames to either side that a sample depends on.
        size: frames of a window; memory grows with it, and with nothing else.

    Yields:
        [B, n] each; all n together are T * hop.
    """
    size = max(size, 2 * margin + 1)
    for window, kept in cut([np.swapaxes(mel, 0, 1)], size, margin):  # [T, B, F]
        wave = np.asarray(vocode(np.swapaxes(window, 0, 1)))
        yield wave[:, kept.start * hop : kept.stop * hop]


def faded(
    decode: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    windows: Windows,
    *,
    axis: int,
    factor: int,
) -> np.ndarray:
    """What is made of windows, one at a time, each fading into the next.

    Args:
        decode: [B, ..., size, ...] -> [B, size * factor, F]; given one shape only.
        x: [B, ..., length, ...].
        windows: of its axis.
        axis: of ``x``.
        factor: frames that are made of each place.

    Returns:
        [B, length * factor, F].
    """
    made: np.ndarray | None = None
    after = windows.scaled(factor)
    for start, to, weights in zip(
        windows.starts, after.starts, after.weights, strict=True
    ):
        part = np.take(x, np.arange(start, start + windows.size), axis)
        frames = np.asarray(decode(part))
        if made is None:
            sizes = (len(frames), after.length, *frames.shape[2:])
            made = np.zeros(sizes, frames.dtype)
        made[:, to : to + after.size] += weights[:, None] * frames
    assert made is not None
    return made
