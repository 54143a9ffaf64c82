"""TensorBoard events, written at once and in this thread, so that a full disk shows.

The writer of tensorboardX leaves it to a thread, which a full disk ends, and then waits
for it for ever; its summaries and its record file are used here without it.
"""

import time
from pathlib import Path

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

SECONDS_BETWEEN_FLUSHES = 30.0


class Events:
    """Appends to the events of a run; each call may raise OSError, as on a full disk.

    Args:
        directory: of the events.
        purge_step: what older files say of this step and later ones is hidden.
    """

    def __init__(self, directory: Path, purge_step: int) -> None:
        self._directory, self._purge_step = directory, purge_step
        self._writer: EventsWriter | None = None
        self._flushed = time.monotonic()

    def scalar(self, name: str, value: float, step: int) -> None:
        """A number."""
        self._add(summary.scalar(name, value), step)

    def audio(self, name: str, wave: np.ndarray, step: int, sample_rate: int) -> None:
        """A waveform, float32 [N] within -1 .. 1."""
        self._add(summary.audio(name, wave, sample_rate=sample_rate), step)

    def image(self, name: str, values: np.ndarray, step: int) -> None:
        """An image, float32 [H, W] within 0 .. 1."""
        self._add(summary.image(name, values, dataformats="HW"), step)

    def flush(self) -> None:
        """Writes what is held back."""
        self._flushed = time.monotonic()
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the file; after an error, the next event opens another."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _add(self, value: Summary, step: int) -> None:
        if self._writer is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(
                str(self._directory / "events"), filename_suffix=f".{time.time_ns()}"
            )
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(step=self._purge_step, session_log=start))
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=value))
        if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
            self.flush()
