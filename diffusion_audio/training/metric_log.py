"""What a run writes down: `metrics.jsonl` and TensorBoard events."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from diffusion_audio.training.task import Evaluation

PEAK = 1.0  # TensorBoard plays float audio of this full scale


class MetricLog:
    """Writes scalars, pictures and audio of one run.

    Each row of ``metrics.jsonl`` is ``{"step": int, "split": "train" | "eval",
    name: value, ...}``.

    Args:
        workdir: the run's directory.
        sample_rate: of the audio, in Hz.
        step: the step a run goes on from; rows beyond it, of work that was lost
            with a crash, are taken out so that no step appears twice.
    """

    def __init__(self, workdir: Path, sample_rate: int, step: int = 0) -> None:
        self._sample_rate = sample_rate
        self._path = workdir / "metrics.jsonl"
        rows = [row for row in read_metrics(workdir) if row["step"] <= step]
        temporary = self._path.with_suffix(".tmp")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8")
        temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes one row."""
        row = {"step": step, "split": split} | {k: float(v) for k, v in values.items()}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", float(value), step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Writes an evaluation: its scalars as a row, its media to TensorBoard."""
        self.scalars(step, "eval", evaluation.metrics)
        for name, wave in evaluation.audio.items():
            clipped = np.clip(wave, -PEAK, PEAK)
            self._writer.add_audio(name, clipped, step, self._sample_rate)
        for name, mel in evaluation.pictures.items():
            low, high = float(mel.min()), float(mel.max())
            picture = (mel - low) / max(high - low, 1e-6)
            self._writer.add_image(name, picture.T[::-1], step, dataformats="HW")
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._writer.close()


def read_metrics(workdir: Path) -> list[dict]:
    """The rows of a run's ``metrics.jsonl``; a torn last line is left out."""
    path = workdir / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
