"""Copy synthesis: audio files to log-mels and back through a vocoder.

What comes out is the best that any model of those mels could sound. Files are read,
cut into windows of one size and written block by block, so batches are full whichever
files they are of, one compiled program serves a folder, and memory does not grow with
the length of a file.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.files import SUFFIXES, blocks, probe, write_blocks
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.streaming import margin
from diffusion_audio.training.settings import settings
from diffusion_audio.training.trained import load_components
from diffusion_audio.training.workdir import read_config


class Vocoder(NamedTuple):
    """A trained vocoder, ready for use. Made by `load_vocoder`.

    Attributes:
        spec: of the mels that it takes.
        cfg: of the generator.
        params: without weight norm.
        vocode: log-mels [B, T, F] -> waveforms [B, T * hop].
    """

    spec: AudioSpec
    cfg: HiFiGANConfig
    params: Params
    vocode: Callable[[Array], Array]


def load_vocoder(directory: str | Path) -> Vocoder:
    """The vocoder of a run, or of a folder of converted weights.

    Raises:
        UserError: it is neither, or of another task.
    """
    config = read_config(directory)
    if config.get("task") != "vocoder":
        raise UserError(
            f"{directory} is of task {config.get('task')!r}; give a vocoder's run or "
            "converted weights"
        )
    spec = AudioSpec.from_dict(config["audio"])
    cfg = dataclasses.replace(
        settings(HiFiGANConfig, config, "generator"), weight_norm=False
    )
    parts = {"components": {"vocoder": {"run": str(directory)}}}
    params = load_components(parts)["vocoder"]
    return Vocoder(
        spec, cfg, params, partial(jax.jit(build_hifigan(cfg).apply), params)
    )


def resynthesize(
    vocoder: Vocoder,
    clips: Iterable[tuple[Any, Iterable[np.ndarray]]],
    *,
    seconds: float = 4.0,
    batch_size: int = 4,
) -> Iterator[tuple[Any, Iterator[np.ndarray]]]:
    """Clips through log-mels and back, in batches of windows of equal length.

    A clip sounds as if silence followed it, and as if it was one window: windows
    overlap by what a sample depends on.

    Args:
        vocoder: made by `load_vocoder`.
        clips: names, no two alike in a row, and waveforms at the vocoder's rate in
            blocks [n], drawn as they are needed.
        seconds: length of a window; at least what a sample depends on is taken.
        batch_size: windows of a batch.

    Yields:
        The names in order, each with the blocks [n] of its waveform, float32; to be
        taken before the next name.
    """
    spec = vocoder.spec
    hop = spec.hop_length
    overlap = margin(vocoder.cfg) + math.ceil(spec.n_fft / hop / 2)
    size = max(round(seconds * spec.sample_rate / hop), 2 * overlap + 1)
    work = (
        (name, window, kept)
        for name, blocks in clips
        for window, kept in cut(blocks, size * hop, overlap * hop)
    )

    def made() -> Iterator[tuple[Any, np.ndarray]]:
        while batch := list(islice(work, batch_size)):
            audio = np.stack([window for _, window, _ in batch])
            missing = batch_size - len(batch)  # one shape, one compilation
            audio = np.pad(audio, ((0, missing), (0, 0)))
            waves = np.asarray(vocoder.vocode(log_mel(spec, jnp.asarray(audio))))
            for (name, _, kept), wave in zip(batch, waves, strict=False):
                yield name, wave[kept]

    for name, pieces in groupby(made(), key=itemgetter(0)):
        yield name, (piece for _, piece in pieces)


def cut(
    blocks: Iterable[np.ndarray], size: int, overlap: int
) -> Iterator[tuple[np.ndarray, slice]]:
    """Windows [size] of a stream of samples, and what of each is to be kept.

    What is kept of all is the stream. Windows begin where it does and overlap, so that
    ``overlap`` samples are to both sides of what is kept, or else the beginning; after
    the end there is silence.
    """
    waiting = iter(blocks)
    held, ended, start = np.zeros(0, np.float32), False, 0
    while True:
        while len(held) < size and not ended:
            block = next(waiting, None)
            ended = block is None
            held = held if block is None else np.concatenate([held, block])
        stop = min(size - overlap, len(held) if ended else size)
        if start < stop:
            window = held[:size]
            yield np.pad(window, (0, size - len(window))), slice(start, stop)
        if ended and len(held) <= size - overlap:
            return
        held, start = held[size - 2 * overlap :], overlap


def vocode(
    model: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    seconds: float = 4.0,
    batch_size: int = 4,
) -> Iterator[Path]:
    """Copy synthesis of an audio file, or of all in a folder.

    Args:
        model: a vocoder's run, or converted weights.
        source: a file, or a folder whose files at any depth are taken.
        out: a .wav or .flac file; or a folder, where files get their names as .wav.
        seconds: length of a window, which memory grows with.
        batch_size: windows of a batch.

    Yields:
        The paths written, at the vocoder's rate.

    Raises:
        UserError: a file cannot be used; all headers are looked at before any work.
    """
    targets = dict(_targets(Path(source), Path(out)))
    for path in targets:
        probe(path)
    vocoder = load_vocoder(model)
    rate = vocoder.spec.sample_rate
    clips = ((path, blocks(path, rate)) for path in targets)
    for path, waves in resynthesize(
        vocoder, clips, seconds=seconds, batch_size=batch_size
    ):
        targets[path].parent.mkdir(parents=True, exist_ok=True)
        write_blocks(targets[path], waves, rate)
        yield targets[path]


def _targets(source: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Every file to read, and where its copy goes."""
    if not source.is_dir():
        is_file = out.suffix.lower() in (".wav", ".flac")
        yield source, out if is_file else out / f"{source.stem}.wav"
        return
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in {source}; give a folder elsewhere")
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{source} has no audio file ({', '.join(SUFFIXES)}) in it")
    seen: dict[Path, Path] = {}
    for path in files:
        target = out / path.relative_to(source).with_suffix(".wav")
        if target in seen:
            raise UserError(f"{path} and {seen[target]} would both become {target}")
        seen[target] = path
        yield path, target
