"""Prompts to audio files, with what made them written beside."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jax

from diffusion_audio.audio.files import write
from diffusion_audio.errors import UserError
from diffusion_audio.generation.batches import BATCH_SIZE
from diffusion_audio.generation.pipeline import load
from diffusion_audio.training.progress import MakeView, ProgressView
from diffusion_audio.training.same_run import content_hash
from diffusion_audio.training.workdir import (
    provenance,
    read_config,
    write_json,
)


def generate(
    model: str | Path,
    prompts: Sequence[str],
    out: str | Path,
    *,
    seed: int = 0,
    solver: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str = "",
    duration: float | None = None,
    num_candidates: int = 1,
    vocoder: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    progress: MakeView = ProgressView,
) -> list[Path]:
    """Writes one WAV file per prompt and candidate, and ``index.json`` beside them.

    The index says all that is needed to make the files again. File names hold the
    position and a hash of the prompt, never the prompt.

    Args:
        model: work directory of a diffusion run.
        prompts: captions.
        out: directory to write to.
        seed: of all randomness.
        solver: name of the solver; the run's own where None.
        steps: solver steps; the run's own where None.
        guidance: guidance scale; the run's own where None.
        negative_prompt: what guidance leads away from.
        duration: seconds; the length of training clips where None.
        num_candidates: sounds per prompt, each from its own noise.
        vocoder: work directory of a vocoder's run, in place of the run's own.
        batch_size: sounds that are made at a time, which memory grows with.
        progress: makes the view of how many are made.

    Returns:
        The paths, prompt by prompt.

    Raises:
        UserError: there is no prompt, or something cannot be done.
    """
    if not prompts:
        raise UserError("no prompt; give at least one caption in quotes")
    pipeline = load(model, vocoder)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    repeated = [prompt for prompt in prompts for _ in range(num_candidates)]
    batches = pipeline.batches(
        repeated,
        key=jax.random.key(seed),
        solver=solver,
        steps=steps,
        guidance=guidance,
        negative_prompt=negative_prompt,
        duration=duration,
        batch_size=batch_size,
    )
    waves = (wave for batch in batches for wave in batch)
    paths, index = [], []
    view = progress("generate", len(repeated), 0)
    try:
        for position, (prompt, wave) in enumerate(zip(repeated, waves, strict=True)):
            digest = hashlib.sha256(prompt.encode()).hexdigest()[:8]
            path = out / f"{position:05d}_{digest}.wav"
            write(path, wave, pipeline.model.spec.sample_rate)
            paths.append(path)
            index.append({"file": path.name, "prompt": prompt, "position": position})
            view.update(len(paths))
    finally:
        view.close()
    config = read_config(model)
    made_by = {
        "model": str(model),
        "config_hash": content_hash(config),
        "step": pipeline.step,
        "vocoder": str(vocoder or config["components"]["vocoder"]["run"]),
        "sampling": dataclasses.asdict(pipeline.drawing(solver, steps, guidance)),
        "seed": seed,
        "negative_prompt": negative_prompt,
        "duration": pipeline.seconds if duration is None else duration,
        "num_candidates": num_candidates,
        "batch_size": batch_size,
        "files": index,
    }
    write_json(out / "index.json", provenance() | made_by)
    return paths
