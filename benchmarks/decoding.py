"""How long training waits for audio that worker processes decode, and for its own.

python -m benchmarks.decoding

Trains a small VAE on 120 stereo FLAC files of ten seconds, with workers and without, in
turn. Of each it prints the share of the time that the loop waited for a batch, and the
time of a step over that without workers. Some minutes; nothing else should run.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import soundfile

from diffusion_audio.data.pipeline import Batches
from diffusion_audio.progress import ProgressView
from diffusion_audio.recipe import REPOSITORY, load
from diffusion_audio.training import run
from diffusion_audio.training.non_finite import GuardedStep

CLIPS, SECONDS, RATE = 120, 10, 44_100
FIRST = 5  # steps that are not counted: the program is compiled in them


class Timed:
    """Notes how long a batch is waited for once the step before it is computed."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.waited: list[float] = []
        self._last: Any = None
        self._usual = Batches.__next__, GuardedStep.__call__

    def __enter__(self) -> "Timed":
        next_batch, step = self._usual

        def stepped(guarded: GuardedStep, *inputs: Any) -> Any:
            state, self._last, skipped = step(guarded, *inputs)
            return state, self._last, skipped

        def timed(batches: Batches) -> dict[str, np.ndarray]:
            jax.block_until_ready(self._last)  # else the loop runs ahead of its steps
            self.asked.append(time.monotonic())
            batch = next_batch(batches)
            self.waited.append(time.monotonic() - self.asked[-1])
            return batch

        Batches.__next__ = timed  # type: ignore[method-assign]
        GuardedStep.__call__ = stepped  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Batches.__next__, step = self._usual  # type: ignore[method-assign]
        GuardedStep.__call__ = step  # type: ignore[method-assign]


def make_clips(root: Path) -> None:
    """Noise that changes slowly: FLAC finds something to do in it."""
    rng = np.random.default_rng(0)
    for i in range(CLIPS):
        wave = np.cumsum(rng.normal(size=(SECONDS * RATE, 2)), axis=0)
        wave -= wave.mean(axis=0)
        soundfile.write(root / f"{i}.flac", 0.5 * wave / np.abs(wave).max(), RATE)


def trained(source: Path, workdir: Path, workers: int, steps: int) -> Timed:
    """A run, and when it asked for its batches."""
    config = load(f"{REPOSITORY}/configs/vae.py:tones")
    config.data.source = f"folder:{source}"
    config.data.decode_workers = workers
    config.train.update(steps=steps, evaluate_every=0, checkpoint_every=steps)
    with Timed() as timed:
        run.train(config, workdir, ProgressView)
    return timed


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {0: [], options.workers: []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "clips").mkdir()
        make_clips(root / "clips")
        for turn in range(2):
            for workers, results in found.items():
                workdir = root / f"{workers}-{turn}"
                timed = trained(root / "clips", workdir, workers, options.steps)
                last = options.steps  # later ones are of an evaluation
                total = timed.asked[last] - timed.asked[FIRST]
                waited = sum(timed.waited[FIRST:last])
                results.append((waited / total, total / (last - FIRST)))
    alone = statistics.median(step for _, step in found[0])
    for workers, results in found.items():
        share = statistics.median(share for share, _ in results)
        step = statistics.median(step for _, step in results)
        print(
            f"{workers} workers: the loop waits {100 * share:.1f} % of the time, "
            f"a step takes {step / alone:.2f} of one without workers"
        )


if __name__ == "__main__":
    main()
