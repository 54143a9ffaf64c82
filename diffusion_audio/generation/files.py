"""Prompts to audio files, with what made them written beside."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from diffusion_audio.audio.files import write
from diffusion_audio.data.text import as_texts, clean
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.generation.batches import BATCH_SIZE
from diffusion_audio.generation.index import INDEX, read_index, write_index
from diffusion_audio.generation.load import load
from diffusion_audio.generation.pipeline import Pipeline
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.pretrained.hub import located, origin
from diffusion_audio.progress import MakeView, ProgressView
from diffusion_audio.runs.chosen import Chosen, choose
from diffusion_audio.runs.same_run import content_hash
from diffusion_audio.runs.workdir import provenance


def generate(
    model: str | Path,
    prompts: str | Sequence[str],
    out: str | Path,
    *,
    seed: int = 0,
    solver: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str = "",
    transcripts: str | Sequence[str] | None = None,
    phonemes: bool = False,
    duration: float | None = None,
    num_candidates: int | None = None,
    vocoder: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    windows: str = "auto",
    preset: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    progress: MakeView = ProgressView,
) -> list[Path]:
    """Writes one WAV file per prompt and candidate, and ``index.json`` beside them.

    Candidates of a prompt are ranked where the model has a CLAP: the index gives each
    its score, a cosine, and its rank, 1 for the nearest to the prompt. The index says
    all that is needed to make the files again, and lists exactly those that are there,
    also when this is stopped. File names hold the position and a hash of the prompt,
    never the prompt.

    Args:
        model: a diffusion run, a published system or its id on the hub; see
            `generation.load`, as for ``vocoder``, ``preset``, ``dtype`` and
            ``revision``.
        prompts: captions, or one of them; an empty one is a sound of no caption.
        out: directory to write to.
        seed: of all randomness.
        solver: name of the solver; the run's own where None.
        steps: solver steps; the run's own where None.
        guidance: guidance scale; the run's own where None.
        negative_prompt: what guidance leads away from.
        transcripts: what is said, of a model of speech; a string is one for all.
        phonemes: the transcripts are phonemes already, in the IPA.
        duration: seconds; the length of training clips where None.
        num_candidates: sounds per prompt, each from its own noise; the model's own
            number where None.
        vocoder: in place of the model's own.
        batch_size: sounds that are made at a time, which memory grows with.
        windows: whether a long sound is made in windows; see `Pipeline.__call__`.
        preset: in whose way a published system runs.
        dtype: of weights and computation.
        revision: of what is on the hub.
        overwrite: files that were not made here may be replaced; see `outputs`.
        progress: makes the view of how many are made.

    Returns:
        The paths, prompt by prompt.

    Raises:
        UserError: there is no prompt, or something cannot be done; before any work
            where that can be.
    """
    prompts = as_texts(prompts)
    if num_candidates is not None and num_candidates < 1:
        raise UserError(f"num_candidates must be 1 or more, not {num_candidates}")
    out, chosen = Path(out), choose(model)

    def planned(each: int) -> tuple[list[str], list[Path]]:
        repeated = [prompt for prompt in prompts for _ in range(each)]
        paths = [out / _name(i, prompt) for i, prompt in enumerate(repeated)]
        require_writable(
            [*paths, out / INDEX], inputs=[chosen.place], overwrite=overwrite
        )
        return repeated, paths

    planned(num_candidates or 1)  # refuses before a model is read
    place = located(chosen.place, revision)
    here = str(chosen._replace(place=place))
    pipeline = load(here, vocoder, preset=preset, dtype=dtype)
    num_candidates = num_candidates or pipeline.candidates
    repeated, paths = planned(num_candidates)
    said = pipeline.transcripts(prompts, transcripts, phonemes=phonemes)
    if said is not None:
        said = [text for text in said for _ in range(num_candidates)]
    files: list[dict[str, Any]] = []

    def watch(done: int, count: int, rows: int) -> None:
        """Shows steps as parts of their sounds, the last part of which is decoding."""
        part = min(rows, len(paths) - len(files)) * done / (count + 1)
        view.update(len(files) + part, {"step": done, "of": count})

    batches = pipeline.batches(
        repeated,
        key=jax.random.key(seed),
        solver=solver,
        steps=steps,
        guidance=guidance,
        negative_prompt=negative_prompt,
        transcripts=said,
        phonemes=phonemes,
        duration=duration,
        batch_size=batch_size,
        windows=windows,
        watch=watch,
    )
    if not pipeline.tokenizers.parts:
        logging.warning("%s has no conditioner: prompts change nothing", model)
    _say_what_is_empty(prompts)
    if unknown := pipeline.tokenizers.unknown_words([*prompts, negative_prompt]):
        logging.warning(
            "no caption of training had the words %s: what they change is chance",
            shortened(", ".join(unknown)),
        )
    windowed = pipeline.windowed(duration, windows)
    if windowed:
        logging.info(
            "this is long for the model, so it is made in windows of %.2f s, half of "
            "which overlap; --windows=never makes the whole at once",
            pipeline.seconds,
        )
    made_by = provenance() | {
        "model": str(model),
        "origin": origin(place),
        "config_hash": content_hash(pipeline.config),
        "step": pipeline.step,
        "vocoder": _vocoder(pipeline, model),
        "preset": preset,
        "dtype": dtype,
        "sampling": dataclasses.asdict(pipeline.drawing(solver, steps, guidance)),
        "seed": seed,
        "negative_prompt": negative_prompt,
        **({} if said is None else {"phonemes": phonemes}),
        "duration": pipeline.seconds if duration is None else duration,
        "num_candidates": num_candidates,
        "batch_size": batch_size,
        "windows": windows,
        "latents": "windowed" if windowed else "whole",
    }
    out.mkdir(parents=True, exist_ok=True)
    before = read_index(out)
    unranked: list[np.ndarray] = []  # sounds of the prompt that is being made
    view = progress("generate", len(paths), 0)

    def index(complete: bool) -> None:
        write_index(out, made_by, files, complete=complete, before=before)

    try:
        for batch in batches:
            for wave in batch:
                position = len(files)
                path, prompt = paths[position], repeated[position]
                write(path, wave, pipeline.system.spec.sample_rate)
                record(path, "generate")
                entry = {"file": path.name, "prompt": prompt, "position": position}
                if said is not None:
                    entry["transcript"] = said[position]
                files.append(entry)
                unranked.append(wave)
                if len(unranked) == num_candidates:
                    _rank(pipeline, np.stack(unranked), files[-num_candidates:])
                    unranked.clear()
            view.update(len(files))
            index(complete=len(files) == len(paths))
    finally:  # also what is stopped half way leaves an index of what there is
        view.close()
        if 0 < len(files) < len(paths):
            index(complete=False)
            logging.warning(
                "%d of %d sounds are made; %s lists them",
                len(files),
                len(paths),
                out / INDEX,
            )
    return paths


def _vocoder(pipeline: Pipeline, model: str | Path) -> str:
    """Where the vocoder came from: a run, weights, or a published system's part."""
    part = pipeline.config["components"]["vocoder"]
    return str(Chosen(part.get("run", model), part.get("step")))


def _rank(pipeline: Pipeline, waves: np.ndarray, entries: list[dict[str, Any]]) -> None:
    """Says of a prompt's sounds how near they are to it, where that can be told."""
    if len(entries) == 1 or pipeline.ranking is None:
        return
    prompts = [entry["prompt"] for entry in entries]
    rate = pipeline.system.spec.sample_rate
    scores = pipeline.ranking.scores(pipeline.tokenizers, prompts, waves, rate)
    for rank, i in enumerate(np.argsort(-scores, stable=True), start=1):
        entries[i] |= {"score": round(float(scores[i]), 6), "rank": rank}


def _name(position: int, prompt: str) -> str:
    return f"{position:05d}_{hashlib.sha256(prompt.encode()).hexdigest()[:8]}.wav"


def _say_what_is_empty(prompts: Sequence[str]) -> None:
    empty = [str(i) for i, prompt in enumerate(prompts, start=1) if not clean(prompt)]
    if empty:
        logging.warning(
            "prompt %s is empty: what is made of it follows no caption",
            ", ".join(empty),
        )
