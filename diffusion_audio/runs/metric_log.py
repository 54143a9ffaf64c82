"""What a run writes down: `metrics.jsonl` and TensorBoard events."""

import contextlib
import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from absl import logging

from diffusion_audio.storage import write_whole
from diffusion_audio.systems import processes

METRICS = "metrics.jsonl"
CRC = "crc32"
PEAK = 1.0  # TensorBoard plays float audio of this full scale


class Evaluation(NamedTuple):
    """What a task shows of itself between training steps.

    Attributes:
        metrics: scalars by name, on data that training does not see.
        audio: waveforms float32 [N] by name, at the task's sample rate.
        spectrograms: mel spectrograms float32 [T, F] by name.
    """

    metrics: dict[str, float]
    audio: dict[str, np.ndarray]
    spectrograms: dict[str, np.ndarray]


class Log(Protocol):
    """Where a run's numbers go.

    Attributes:
        evaluated: steps of which it has an evaluation.
        furthest: the last step that a row was written of, those taken out included.
    """

    evaluated: set[int]
    furthest: int

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes one row."""
        ...

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Writes an evaluation."""
        ...

    def close(self) -> None:
        """Flushes and closes the files."""
        ...


def open_log(workdir: Path, sample_rate: int, step: int = 0) -> Log:
    """The log of a run in its first process; in others, of which none is needed, none.

    Args:
        workdir: the run's directory.
        sample_rate: of the audio, in Hz.
        step: see `MetricLog`.
    """
    first = processes.is_first()
    return MetricLog(workdir, sample_rate, step) if first else _Nowhere()


class _Nowhere:
    """A log that another process writes."""

    def __init__(self) -> None:
        self.evaluated: set[int] = set()
        self.furthest = 0

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        del step, split, values

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        del step, evaluation

    def close(self) -> None:
        pass


class MetricLog:
    """Writes scalars, spectrograms and audio of one run.

    Each row of ``metrics.jsonl`` is ``{"step": int, "split": "train" | "eval",
    name: value, ..., "crc32": ...}``, the last being of all before it. What cannot be
    written, as on a full disk, is said once and left out: no run ends because of it.

    Args:
        workdir: the run's directory.
        sample_rate: of the audio, in Hz.
        step: the step a run goes on from; rows beyond it, of work that was lost
            with a crash, are taken out so that no step appears twice. Lines that are
            no rows go to ``metrics.jsonl.damaged``.

    Attributes:
        furthest: the last step that a row was written of, those taken out included.
        evaluated: the steps that were evaluated.
    """

    def __init__(self, workdir: Path, sample_rate: int, step: int = 0) -> None:
        self._sample_rate = sample_rate
        self._path = workdir / METRICS
        # Here, for those who write: tensorboardX imports PyTorch where there is one,
        # seconds of processor time, and who reads a run's metrics imports this file.
        from diffusion_audio.runs.tensorboard import Events

        lines = _read(self._path)
        _warn(self._path, lines)
        kept = [line for line in lines.rows if line.row["step"] <= step]
        rows = [line.row for line in kept]
        self.furthest = max((line.row["step"] for line in lines.rows), default=0)
        if step and not any(row["step"] == step for row in rows):
            logging.warning(
                "%s lacks step %d, which is saved: it was cut off, or could not be "
                "written then; training goes on, and its rows are lost",
                self._path,
                step,
            )
        self.evaluated = {row["step"] for row in rows if row["split"] == "eval"}
        if damaged := b"".join(text + b"\n" for _, text in lines.damaged):
            with self._path.with_suffix(".jsonl.damaged").open("ab") as file:
                file.write(damaged)
        if damaged or lines.torn or len(kept) < len(lines.rows):
            write_whole(self._path, b"".join(line.text + b"\n" for line in kept))
        self._file = self._path.open("ab", buffering=0)
        self._events = Events(workdir / "tensorboard", purge_step=step + 1)
        self._failed: set[str] = set()

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes one row."""
        row = {"step": step, "split": split} | {k: float(v) for k, v in values.items()}
        self._try(METRICS, self._append, _line(row))
        for name, value in values.items():
            if math.isfinite(value):  # TensorBoard would warn of each other one
                self._show(self._events.scalar, f"{split}/{name}", float(value), step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Writes an evaluation: its scalars as a row, its media to TensorBoard."""
        for name, wave in evaluation.audio.items():
            clipped = np.clip(wave, -PEAK, PEAK)
            self._show(self._events.audio, name, clipped, step, self._sample_rate)
        for name, mel in evaluation.spectrograms.items():
            low, high = float(mel.min()), float(mel.max())
            spectrogram = (mel - low) / max(high - low, 1e-6)
            self._show(self._events.image, name, spectrogram.T[::-1], step)
        self.scalars(step, "eval", evaluation.metrics)
        self._show(self._events.flush)

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._show(self._events.close)

    def _append(self, line: bytes) -> None:
        """Writes a line, or nothing of it."""
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError("no space for a whole line")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise

    def _show(self, write: Callable[..., None], *inputs: Any) -> None:
        if not self._try("TensorBoard events", write, *inputs):
            with contextlib.suppress(OSError):  # the file ends in part of an event
                self._events.close()

    def _try(self, what: str, write: Callable[..., None], *inputs: Any) -> bool:
        """Whether something could be written; says once that it could not."""
        try:
            write(*inputs)
        except OSError as error:
            if what not in self._failed:
                self._failed.add(what)
                logging.warning(
                    "cannot write %s in %s (%s); training goes on without",
                    what,
                    self._path.parent,
                    error.strerror or error,
                )
            return False
        return True


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``.

    Lines that are no rows are named in a warning; a torn last one, as a killed process
    leaves it, is left out.
    """
    lines = _read(workdir / METRICS)
    _warn(workdir / METRICS, lines)
    return [line.row for line in lines.rows]


class _Row(NamedTuple):
    text: bytes
    row: dict[str, Any]


class _Lines(NamedTuple):
    """A file's rows, its other lines by number, and whether its last one is torn."""

    rows: list[_Row]
    damaged: list[tuple[int, bytes]]
    torn: bool


def _read(path: Path) -> _Lines:
    *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
    rows: list[_Row] = []
    damaged: list[tuple[int, bytes]] = []
    for number, text in enumerate([*lines, last], 1):
        row = _row(text)
        if row is not None:
            rows.append(_Row(text, row))
        elif text.strip() and number <= len(lines):
            damaged.append((number, text))
    return _Lines(rows, damaged, bool(last))


def _line(row: dict[str, Any]) -> bytes:
    """A row as it stands in the file; rows of earlier versions lack the sum."""
    values = json.dumps(row).encode().removesuffix(b"}")
    return values + _sum_of(values) + b"\n"


def _sum_of(values: bytes) -> bytes:
    return f', "{CRC}": "{zlib.crc32(values):08x}"}}'.encode()


def _row(text: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is no row, or not the one that was written."""
    try:
        row = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    if row.pop(CRC, None) is not None:
        values = text[: text.rfind(b', "')]
        if text != values + _sum_of(values):
            return None
    texts = {name for name, value in row.items() if isinstance(value, str)}
    return row if texts == {"split"} else None


def _warn(path: Path, lines: _Lines) -> None:
    if lines.damaged:
        numbers = [str(number) for number, _ in lines.damaged]
        more = ", ..." if len(numbers) > 5 else ""
        logging.warning(
            "%s: line %s%s no row of metrics; the other rows are used, and training on "
            "puts such lines into %s.damaged",
            path,
            ", ".join(numbers[:5]) + more,
            " is" if len(numbers) == 1 else " are",
            path.name,
        )
