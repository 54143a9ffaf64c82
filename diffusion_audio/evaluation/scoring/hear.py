"""Files through a metric network: several read at once, heard in batches, kept.

Memory is bounded: a few files are decoded ahead, their parts wait for others of their
length, and what was heard goes to the cache at once.
"""

import dataclasses
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from diffusion_audio.audio import files
from diffusion_audio.audio.decoders import Decode
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.estimators import Heard
from diffusion_audio.evaluation.scoring.cache import (
    Cache,
    Entry,
    content_hash,
    space_of,
    stamp,
)
from diffusion_audio.evaluation.scoring.encoders import OpenEncoder
from diffusion_audio.evaluation.treatment import Treatment
from diffusion_audio.generation.batches import require_size
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded
from diffusion_audio.systems.devices import everywhere, over_devices

AHEAD = 16  # files that are read before they are needed
WAITING = 8  # batches of parts that wait for others of their length
PROGRAMS = 64  # of lengths that are kept compiled, some 2 MB each

In = TypeVar("In")
Out = TypeVar("Out")
Advance = Callable[[int], None]


class Listener(NamedTuple):
    """A network and how recordings come to it.

    Attributes:
        name: the network's, for messages.
        opened: the network.
        treatment: of recordings.
    """

    name: str
    opened: OpenEncoder
    treatment: Treatment

    @property
    def space(self) -> str:
        """Where the cache keeps what it hears."""
        return space_of(
            self.name,
            self.opened.weights,
            dataclasses.asdict(self.treatment),
        )


def contents_of(
    cache: Cache, paths: Mapping[str, Path], advance: Advance
) -> tuple[dict[str, str], dict[str, AudioFileError]]:
    """Hashes of the contents of files, by key; and why some cannot be read."""
    contents: dict[str, str] = {}
    damaged: dict[str, AudioFileError] = {}
    unknown = []
    for key, path in paths.items():
        if known := cache.known(path):
            contents[key] = known
            advance(1)
        else:
            unknown.append(key)

    def look(key: str) -> tuple[str, str]:
        before = stamp(paths[key])
        return content_hash(paths[key]), before

    for key, found in _several(look, unknown):
        if isinstance(found, AudioFileError):
            damaged[key] = found
        else:
            contents[key] = found[0]
            cache.remember(paths[key], *found)
        advance(1)
    return contents, damaged


def hear(
    cache: Cache,
    listener: Listener,
    paths: Mapping[str, Path],
    *,
    decode: Decode,
    batch_size: int,
    mesh: Mesh | None = None,
    advance: Advance = lambda count: None,
) -> dict[str, AudioFileError]:
    """Lets a network hear what the cache does not have of it yet.

    Args:
        cache: where what is heard goes.
        listener: the network.
        paths: a file of each content, by the content's hash.
        decode: how the files are decoded.
        batch_size: parts heard at once, rounded up to a multiple of the devices.
        mesh: devices that share a batch.
        advance: called with the number of files that are done.

    Returns:
        What is wrong with the contents that cannot be heard, by hash.
    """
    require_size(batch_size)
    space = listener.space
    wanted = sorted(cache.missing(space, paths.keys()))
    advance(len(paths) - len(wanted))
    if not wanted:
        return {}
    encoder = listener.opened.encoder
    rate = encoder.sample_rate
    damaged: dict[str, AudioFileError] = {}

    def cut(content: str) -> list[np.ndarray]:
        path = paths[content]
        parts = listener.treatment.parts(*decode(files.decode, path), rate)
        if content_hash(path) != content:
            raise AudioFileError("unreadable", path, "changed while it was scored")
        return [window for part in parts for window in windows_of(encoder, part)]

    batches = _Batches(listener, batch_size, mesh)

    def store(done: Iterable[tuple[str, Entry | str]]) -> None:
        for content, heard in done:
            if isinstance(heard, str):
                damaged[content] = AudioFileError("empty", paths[content], heard)
            else:
                cache.keep(space, content, heard)
            advance(1)

    for content, parts in _several(cut, wanted):
        if isinstance(parts, AudioFileError):
            damaged[content] = parts
            advance(1)
        else:
            store(batches.add(content, parts))
    store(batches.rest())
    return damaged


def gather(
    cache: Cache, listener: Listener, contents: list[str], folder: Path
) -> Heard:
    """What a network heard of clips, in order, in files of a folder.

    Args:
        cache: that has it.
        listener: the network.
        contents: hashes of the clips' contents.
        folder: on the disk that holds what memory need not; nothing is left there,
            however the program ends.
    """
    encoder = listener.opened.encoder
    counts: list[int] = []

    def mapped(file: Any, width: int) -> np.ndarray:
        return np.memmap(file, np.float32, "r", shape=(sum(counts), width))

    with (
        tempfile.TemporaryFile(dir=folder) as embedding,
        tempfile.TemporaryFile(dir=folder) as logits,
    ):
        # Written and not mapped at once, as a full disk is an error of a write only.
        for entry in cache.entries(listener.space, contents):
            counts.append(len(entry.embedding))
            embedding.write(entry.embedding.data)
            if entry.logits is not None:
                logits.write(entry.logits.data)
        embedding.flush()
        logits.flush()
        return Heard(
            mapped(embedding, encoder.width),
            mapped(logits, encoder.classes) if encoder.classes else None,
            np.repeat(np.arange(len(contents)), counts),
        )


def windows_of(encoder: AudioEncoder, wave: np.ndarray) -> list[np.ndarray]:
    """What an encoder hears of a wave [N], in pieces that it hears one by one."""
    if encoder.hop is None or encoder.window is None or len(wave) < encoder.window:
        return [wave]
    starts = range(0, len(wave) - encoder.window + 1, encoder.hop)
    return [wave[start : start + encoder.window] for start in starts]


def program_length(encoder: AudioEncoder, samples: int) -> int:
    """The samples of the program that hears a wave: of a few lengths, if it can be.

    Lengths of an octave share four programs; at most a quarter of a wave is filler.
    """
    if encoder.encode_filled is None or samples < encoder.least:
        return samples
    step = 1 << max(0, samples.bit_length() - 3)
    return -(-samples // step) * step


class _Batches:
    """Parts on their way through a network, those of one program together."""

    def __init__(self, listener: Listener, size: int, mesh: Mesh | None) -> None:
        devices = mesh.size if mesh else 1
        self._name, opened = listener.name, listener.opened
        self._size = -(-size // devices) * devices
        self._params = (
            jax.device_put(opened.params, everywhere(mesh)) if mesh else opened.params
        )
        self._encoder = opened.encoder
        self._encode: Any = jax.jit(over_devices(opened.encoder.encode, mesh, whole=1))
        self._encode_filled = opened.encoder.encode_filled and jax.jit(
            over_devices(opened.encoder.encode_filled, mesh, whole=1)
        )
        self._programs: set[int] = set()
        # By length of the program: the clip of a part, its place there, and the part.
        self._parts: dict[int, deque[tuple[str, int, np.ndarray]]] = defaultdict(deque)
        self._heard: dict[str, dict[int, Entry]] = {}
        self._wanted: dict[str, int] = {}

    def add(
        self, clip: str, parts: list[np.ndarray]
    ) -> Iterator[tuple[str, Entry | str]]:
        """Takes the parts of a clip; clips that are done, or why one is not."""
        self._wanted[clip], self._heard[clip] = len(parts), {}
        for place, part in enumerate(parts):
            length = program_length(self._encoder, len(part))
            queue = self._parts[length]
            queue.append((clip, place, part))
            if len(queue) == self._size:
                yield from self._run(length)
        while sum(map(len, self._parts.values())) > WAITING * self._size:
            yield from self._run(max(self._parts, key=lambda n: len(self._parts[n])))

    def rest(self) -> Iterator[tuple[str, Entry | str]]:
        """All that waits."""
        for length, queue in self._parts.items():
            while queue:
                yield from self._run(length)

    def _run(self, length: int) -> Iterator[tuple[str, Entry | str]]:
        queue = self._parts[length]
        taken = [queue.popleft() for _ in range(min(len(queue), self._size))]
        fill = [taken[-1][2]] * (self._size - len(taken))
        rows = [part for _, _, part in taken] + fill
        waves = np.stack([np.pad(row, (0, length - len(row))) for row in rows])
        problem = ""
        try:
            if self._encode_filled and length >= self._encoder.least:
                samples = np.array([len(row) for row in rows], np.int32)
                heard = self._encode_filled(self._params, waves, samples)
            else:
                heard = self._encode_whole(waves)
            embedding, logits = jax.device_get(heard)
            if not embedding.shape[1]:
                problem = f"too short for {self._name}, which hears nothing of it"
        except UserError as error:  # of waves of this length
            problem = str(error)
        for row, (clip, place, _) in enumerate(taken):
            if clip not in self._wanted:
                continue  # another part of it could not be heard
            if problem:
                del self._wanted[clip], self._heard[clip]
                yield clip, problem
                continue
            mine = self._heard[clip]
            mine[place] = Entry(embedding[row], None if logits is None else logits[row])
            if len(mine) == self._wanted[clip]:
                del self._wanted[clip], self._heard[clip]
                yield clip, _joined([mine[i] for i in range(len(mine))])

    def _encode_whole(self, waves: np.ndarray) -> Encoded:
        """Each length is a program of its own; of very many, not all are kept."""
        if waves.shape[1] not in self._programs and len(self._programs) >= PROGRAMS:
            self._encode.clear_cache()
            self._programs.clear()
        self._programs.add(waves.shape[1])
        heard: Encoded = self._encode(self._params, waves)
        return heard


def _joined(parts: list[Entry]) -> Entry:
    logits = [part.logits for part in parts if part.logits is not None]
    return Entry(
        np.concatenate([part.embedding for part in parts]),
        np.concatenate(logits) if logits else None,
    )


def _several(
    work: Callable[[In], Out], items: Iterable[In]
) -> Iterator[tuple[In, Out | AudioFileError]]:
    """Work on items by several threads, a few ahead; results in order."""
    waiting: deque[tuple[In, Future[Out]]] = deque()

    def first() -> tuple[In, Out | AudioFileError]:
        item, future = waiting.popleft()
        try:
            return item, future.result()
        except AudioFileError as error:
            return item, error

    with ThreadPoolExecutor() as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > AHEAD:
                yield first()
        while waiting:
            yield first()
