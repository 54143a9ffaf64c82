"""Copy synthesis: waveforms to log-mels and back through a vocoder.

What comes out is the best that any model of those mels could sound. Clips are cut into
windows of one size, so batches are full whichever clips they are of, one compiled
program serves them all, and memory does not grow with the length of a clip.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.mel_range import log_floor
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.generation.windows import cut
from diffusion_audio.runs.chosen import choose
from diffusion_audio.runs.components import read_vocoder
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.systems import vocoders
from diffusion_audio.systems.table import build
from diffusion_audio.systems.vocoders import Vocoder


class Voice(NamedTuple):
    """A trained vocoder, ready for use. Made by `load_voice`.

    Attributes:
        spec: of the mels that it takes.
        part: its network, hop and receptive field.
        params: of ``part.inference``.
        vocode: log-mels [B, T, F] -> waveforms [B, T * hop].
        step: of the checkpoint that was read; None for converted weights.
    """

    spec: AudioSpec
    part: Vocoder
    params: Params
    vocode: Callable[[Array], Array]
    step: int | None


def load_voice(directory: str | Path) -> Voice:
    """The vocoder of a run, or of a folder of converted weights.

    Args:
        directory: of it; which checkpoint of a run it may say (`runs.chosen`).

    Raises:
        UserError: it is neither, or of another task.
    """
    place, step = choose(directory)
    config = read_config(place) | {"step": step}
    if "vocoder" not in config:
        raise UserError(
            f"{place} is of task {config['task']!r}; give a vocoder's run or "
            "converted weights"
        )
    part = build(vocoders.TABLE, config["vocoder"], f"{place}: config.vocoder")
    step, params = read_vocoder(place, config)
    return Voice(
        AudioSpec.from_dict(config["audio"]),
        part,
        params,
        partial(jax.jit(part.inference.apply), params),
        step,
    )


def resynthesize(
    voice: Voice,
    clips: Iterable[tuple[Any, Iterable[np.ndarray]]],
    *,
    seconds: float = 4.0,
    batch_size: int = 4,
) -> Iterator[tuple[Any, Iterator[np.ndarray]]]:
    """Clips through log-mels and back, in batches of windows of equal length.

    A clip sounds as if silence followed it, and as if it was one window: windows
    overlap by what a sample depends on.

    Args:
        voice: made by `load_voice`.
        clips: names, no two alike in a row, each with a waveform at the vocoder's rate
            in blocks [n], or with log-mels of its spec in blocks [n, F]; drawn as they
            are needed.
        seconds: length of a window; at least what a sample depends on is taken.
        batch_size: windows of a batch.

    Yields:
        The names in order, each with the blocks [n] of its waveform, float32; to be
        taken before the next name. A log-mel of T frames becomes T * hop samples.
    """
    spec = voice.spec
    hop = spec.hop_length
    overlap = voice.part.margin + math.ceil(spec.n_fft / hop / 2)
    size = max(round(seconds * spec.sample_rate / hop), 2 * overlap + 1)

    def windows(blocks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, slice]]:
        blocks = iter(blocks)
        first = next(blocks, np.zeros(0, np.float32))
        if first.ndim == 1:
            yield from cut(chain([first], blocks), size * hop, overlap * hop, fill=0)
            return
        frames = spec.frames(size * hop)
        mels = cut(chain([first], blocks), frames, overlap, fill=log_floor(spec))
        for mel, kept in mels:
            yield mel, slice(kept.start * hop, kept.stop * hop)

    work = (
        (name, window, kept)
        for name, blocks in clips
        for window, kept in windows(blocks)
    )

    def made() -> Iterator[tuple[Any, np.ndarray]]:
        while batch := list(islice(work, batch_size)):
            filled = [window for _, window, _ in batch]
            missing = batch_size - len(batch)  # one shape, one compilation
            filled += [np.zeros_like(filled[0])] * missing
            waves = np.asarray(voice.vocode(_mels(spec, filled)))
            for (name, _, kept), wave in zip(batch, waves, strict=False):
                yield name, wave[kept]

    for name, pieces in groupby(made(), key=itemgetter(0)):
        yield name, (piece for _, piece in pieces)


def _mels(spec: AudioSpec, windows: list[np.ndarray]) -> Array:
    """Log-mels [B, T, F] of windows, each a waveform [N] or log-mels already [T, F]."""
    if all(window.ndim == 1 for window in windows):
        return log_mel(spec, jnp.asarray(np.stack(windows)))
    mels = [log_mel(spec, jnp.asarray(w)) if w.ndim == 1 else w for w in windows]
    return jnp.stack(list(map(jnp.asarray, mels)))
