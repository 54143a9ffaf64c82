"""Waveforms of any length in bounded memory, window by window, with no audible joins.

A generator is local: a sample depends on no more than `margin` mel frames to either
side. So windows that overlap by that much agree in their middles with the whole, and
only the middles are kept. Windows begin and end where the input does, so that even the
edges are those of the whole.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import ISTFT_OVERLAP, HiFiGANConfig
from diffusion_audio.nn.snake import TAPS


class Window(NamedTuple):
    """One piece of work: what is put in, and what is kept of what comes out, in frames.

    Attributes:
        start: first frame put in.
        keep: first frame kept, counted from the start of the whole.
        stop: frame after the last one kept.
    """

    start: int
    keep: int
    stop: int


def margin(cfg: HiFiGANConfig) -> int:
    """Mel frames to either side that a generator's sample depends on, at most."""
    filters = TAPS // 2 + 1 if cfg.antialias else 0  # of up and down together
    reach = 3 + filters + (ISTFT_OVERLAP + 1 if cfg.istft_n_fft else 0)
    convolutions = 2 if cfg.resblock == "1" else 1
    block = max(
        sum(
            (width - 1) // 2 * (dilation + convolutions - 1) + filters * convolutions
            for dilation in dilations
        )
        for width, dilations in zip(cfg.resblock_kernels, cfg.dilations, strict=True)
    )
    for rate, kernel in zip(reversed(cfg.rates), reversed(cfg.kernels), strict=True):
        reach = math.ceil((reach + block + kernel) / rate)
    return reach + 3


def windows(frames: int, size: int, overlap: int) -> Iterator[Window]:
    """Cuts ``frames`` into windows of one size whose middles cover them.

    Args:
        frames: of the whole, at least ``size``.
        size: frames of a window.
        overlap: frames at either side of a window that are not kept, except at the
            ends of the whole.

    Raises:
        UserError: the windows are too small to have a middle.
    """
    if size <= 2 * overlap:
        raise UserError(
            f"windows of {size} frames are too small: more than {2 * overlap} are "
            "needed, twice what a sample depends on"
        )
    kept = 0
    while kept < frames:
        start = min(max(0, kept - overlap), frames - size)
        last = start + size == frames
        stop = frames if last else start + size - overlap
        yield Window(start, kept, stop)
        kept = stop


def stream(
    vocode: Callable[[np.ndarray], np.ndarray],
    mel: np.ndarray,
    cfg: HiFiGANConfig,
    size: int = 2048,
) -> Iterator[np.ndarray]:
    """The waveform of log-mels in pieces, whose concatenation is that of the whole.

    Args:
        vocode: [B, T, F] -> [B, T * hop]; it is given one shape only.
        mel: [B, T, F]; may be a memory map, as only windows of it are read.
        cfg: of the generator.
        size: frames of a window; memory grows with it, and with nothing else.

    Yields:
        [B, n] each; all n together are T * hop.
    """
    frames, hop = mel.shape[1], cfg.hop_length
    overlap = margin(cfg)
    size = max(size, 2 * overlap + 1)
    if frames <= size:
        yield np.asarray(vocode(mel))
        return
    for start, keep, stop in windows(frames, size, overlap):
        wave = np.asarray(vocode(mel[:, start : start + size]))
        yield wave[:, (keep - start) * hop : (stop - start) * hop]
