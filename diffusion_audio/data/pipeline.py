"""From a source to batches: shuffle, repeat, crop, slice by process, stack (Grain).

Random choices are made before the slicing, and a place in the stream has its clip
whatever becomes of the others. So one, two or four processes see the same batches, of
which each has a run of rows, and a place that one has saved is good for another number
of them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.data.skipped import Notes, Skipped
from diffusion_audio.data.source import Clip, Source
from diffusion_audio.errors import UserError

_TEXTS = ("caption", "attributes", "id")
_TRIES = 100  # of other clips in place of a bad one; the budget ends it before
_NEXT = "next_index"  # of Grain's own state


class Batches:
    """An endless or finite iterator of batches whose place can be saved.

    Args:
        iterator: over the batches of this process.
        skipped: those it met.
        process_count: how many share a batch.
        same_clips: whether places that were saved are of these very clips. Else their
            bad ones are others.

    Attributes:
        ids: clips of the last batch, of this process.
        skipped: bad clips that are known of, by kind.
    """

    def __init__(
        self,
        iterator: grain.DatasetIterator,
        skipped: Skipped,
        process_count: int = 1,
        same_clips: bool = True,
    ):
        self.ids: tuple[str, ...] = ()
        self._iterator = iterator
        self._skipped = skipped
        self._processes = process_count
        self._same_clips = same_clips

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        self.ids, batch = next(self._iterator)
        return batch

    @property
    def skipped(self) -> dict[str, int]:
        """How many clips were skipped so far, by kind of damage."""
        return self._skipped.counts

    def get_state(self) -> dict[str, Any]:
        """Where the iterator stands, and what it skipped: values that JSON can hold.

        The place is counted in examples of all processes, as one alone counts it.
        """
        own = self._iterator.get_state()
        return {
            "place": own | {_NEXT: own[_NEXT] * self._processes},
            "skipped": self._skipped.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where ``get_state`` was asked."""
        place = state["place"]
        self._iterator.set_state(place | {_NEXT: place[_NEXT] // self._processes})
        if self._same_clips:
            self._skipped.set_state(state["skipped"])


def batches(
    source: Source,
    *,
    batch_size: int,
    samples: int,
    seed: int,
    inputs: Callable[[Sequence[Clip]], Mapping[str, Any]] = lambda clips: {},
    shuffle: bool = True,
    repeat: bool = True,
    process_index: int = 0,
    process_count: int = 1,
    skip_budget: float = 0.001,
    notes: Notes | None = None,
    same_clips: bool = True,
) -> Batches:
    """Batches of a source, as this process sees them; b = batch_size / process_count.

    Each is a dict of ``audio`` float32 [b, samples] (or what else the source stores),
    ``index`` int32 [b] (the place of each example in the whole batch) and the
    ``inputs`` of its clips. Without ``repeat`` the last batch may be shorter.

    Args:
        source: where clips come from.
        batch_size: of all processes together.
        samples: length N that clips are cropped or padded to.
        seed: of order, crops and choice among captions, 0 <= seed < 2**32.
        inputs: arrays [b, ...] that a batch holds of what its clips say (caption,
            attributes), by name.
        shuffle: a new order each epoch, else that of the source.
        repeat: never end, else one epoch.
        process_index: which process this is.
        process_count: how many there are.
        skip_budget: share of the clips that may be bad; see `skipped.allowed`.
        notes: of bad clips, that all processes share; those of this one where None.
        same_clips: of `Batches`.

    Raises:
        UserError: for an empty source, sizes that do not fit, and, while iterating,
            for more bad clips than the budget allows.
    """
    if not len(source):
        raise UserError(f"{source.name} has no clips")
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"a batch of {batch_size} cannot be shared by {process_count} processes"
        )
    if not 0 <= seed < 2**32:
        raise UserError(f"a data seed lies within 0 .. 2**32 - 1; got {seed}")
    local = batch_size // process_count
    first_row = process_index * local
    skipped = Skipped(source.name, len(source), skip_budget, notes)

    def draw(index: int, rng: np.random.Generator) -> Clip | None:
        for _ in range(_TRIES if repeat else 1):
            try:
                clip = source.draw(int(index), samples, rng)
            except AudioFileError as error:
                skipped.add(int(index), error)
                # Another in its place: no other clip moves, in any process.
                index = int(rng.integers(len(source)))
            else:
                skipped.remove(int(index))
                return clip
        return None  # Grain leaves it out

    def collate(
        clips: Sequence[Clip],
    ) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        batch = {
            name: np.stack([clip[name] for clip in clips])
            for name in clips[0]
            if name not in _TEXTS
        }
        batch["index"] = np.int32(first_row) + np.arange(len(clips), dtype=np.int32)
        return tuple(clip["id"] for clip in clips), batch | dict(inputs(clips))

    order = grain.MapDataset.range(len(source)).seed(seed)
    if shuffle:
        order = order.shuffle()
    if repeat:
        order = order.repeat()
    drawn = order.random_map(draw)
    if process_count > 1:
        drawn = _rows(drawn, batch_size, first_row, local)
    threads = min(16, os.cpu_count() or 1)
    reading = grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=max(2 * local, threads)
    )
    stacked = drawn.to_iter_dataset(reading).batch(local, batch_fn=collate)
    return Batches(iter(stacked), skipped, process_count, same_clips)


def _rows(
    drawn: grain.MapDataset, batch_size: int, first: int, count: int
) -> grain.MapDataset:
    """Some rows of each batch of a stream, one after the other."""
    whole, rest = divmod(len(drawn), batch_size)
    length = whole * count + min(max(rest - first, 0), count)

    def pick(index: int) -> Clip | None:
        batch, row = divmod(index, count)
        return drawn[batch * batch_size + first + row]

    return grain.MapDataset.range(length).map(pick)
