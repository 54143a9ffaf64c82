"""From a source to batches: shuffle, repeat, crop, slice by process, stack (Grain).

Random choices are made before the slicing, so that one, two or four processes see
the same examples with the same crops; a batch of the run is the union of theirs.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.data.source import Clip, Source
from diffusion_audio.errors import UserError

_log = logging.getLogger(__name__)

_TEXTS = ("caption", "attributes", "id")


class Skipped:
    """Bad clips met so far: each counted once, reported once, within a budget."""

    def __init__(self, name: str, clips: int, budget: float):
        self._name = name
        self._clips = clips
        self._allowed = max(1, int(budget * clips))
        self._kinds: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """How many clips were skipped, by kind of damage."""
        return dict(Counter(self._kinds.values()))

    def get_state(self) -> dict[str, str]:
        """The kind of damage of each, by number, as JSON has it."""
        with self._lock:
            return {str(index): kind for index, kind in self._kinds.items()}

    def set_state(self, state: Mapping[str, str]) -> None:
        """Knows those of ``get_state`` too."""
        with self._lock:
            self._kinds |= {int(index): kind for index, kind in state.items()}

    def remove(self, index: int) -> None:
        """A clip is good: it always was, or has been mended since."""
        with self._lock:
            self._kinds.pop(index, None)

    def add(self, index: int, error: AudioFileError) -> None:
        """Count a bad clip.

        Raises:
            UserError: if there are more than the budget allows, or no good one.
        """
        with self._lock:
            if index in self._kinds:
                return
            self._kinds[index] = error.kind
            _log.warning("skipping a bad clip of %s: %s", self._name, error)
            if len(self._kinds) == self._clips:
                raise UserError(f"every clip of {self._name} is bad; the last: {error}")
            if len(self._kinds) > self._allowed:
                raise UserError(
                    f"{len(self._kinds)} of the {self._clips} clips of {self._name} "
                    f"are bad ({self.counts}), more than the {self._allowed} allowed; "
                    f"the last: {error}; `data check` names them all"
                )


class Batches:
    """An endless or finite iterator of batches whose place can be saved.

    Attributes:
        ids: clips of the last batch, of this process.
        skipped: bad clips that this process met, by kind.
    """

    def __init__(self, iterator: grain.DatasetIterator, skipped: Skipped):
        self.ids: tuple[str, ...] = ()
        self._iterator = iterator
        self._skipped = skipped

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
        """Where the iterator stands, and what it skipped: values that JSON can hold."""
        return {
            "place": self._iterator.get_state(),
            "skipped": self._skipped.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where ``get_state`` was asked."""
        self._iterator.set_state(state["place"])
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
        skip_budget: share of the clips that may be bad (one always may).

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
    skipped = Skipped(source.name, len(source), skip_budget)

    def draw(index: int, rng: np.random.Generator) -> Clip | None:
        try:
            clip = source.draw(int(index), samples, rng)
        except AudioFileError as error:
            skipped.add(int(index), error)
            return None  # Grain leaves it out; no other clip's choices change
        skipped.remove(int(index))
        return clip

    def collate(
        clips: Sequence[Clip],
    ) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        batch = {
            name: np.stack([clip[name] for clip in clips])
            for name in clips[0]
            if name not in _TEXTS
        }
        order = np.arange(len(clips), dtype=np.int32)
        batch["index"] = order * np.int32(process_count) + np.int32(process_index)
        return tuple(clip["id"] for clip in clips), batch | dict(inputs(clips))

    order = grain.MapDataset.range(len(source)).seed(seed)
    if shuffle:
        order = order.shuffle()
    if repeat:
        order = order.repeat()
    drawn = order.random_map(draw)[process_index::process_count]
    local = batch_size // process_count
    threads = min(16, os.cpu_count() or 1)
    reading = grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=max(2 * local, threads)
    )
    stacked = drawn.to_iter_dataset(reading).batch(local, batch_fn=collate)
    return Batches(iter(stacked), skipped)
