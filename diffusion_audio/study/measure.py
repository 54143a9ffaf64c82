"""One system heard: its sounds for the prompts, and every measure of them."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.data.source import open_source
from diffusion_audio.evaluation.judge import load_judge
from diffusion_audio.evaluation.measures import draw_reference, measure, protocols
from diffusion_audio.evaluation.protocol import Protocol, params_hash
from diffusion_audio.generation import load
from diffusion_audio.training.latent_diffusion import SamplingConfig
from diffusion_audio.training.settings import settings
from diffusion_audio.training.workdir import read_config

BATCH = 48


class Heard(NamedTuple):
    """What came of one system.

    Attributes:
        values: by measure, [P] for the prompts or [1] for the set.
        protocols: how each was made.
        captions: the prompts.
        waves: float32 [G, P, N], G sounds of each.
        real: the real clips of the captions, [P, N].
        sample_rate: Hz.
    """

    values: dict[str, np.ndarray]
    protocols: dict[str, Protocol]
    captions: list[str]
    waves: np.ndarray
    real: np.ndarray
    sample_rate: int


def hear(
    run_dir: str | Path,
    *,
    vocoder: str | Path,
    classifier: str | Path,
    sampling: Mapping[str, Any],
    split: str,
    prompts: int,
    sampling_seeds: tuple[int, ...],
    progress: Callable[[int], None] = lambda done: None,
) -> Heard:
    """Generates for captions of a split, and measures.

    Args:
        run_dir: work directory of a diffusion run.
        vocoder: that of the vocoder's run.
        classifier: that of the judge's run.
        sampling: the group ``sampling`` of a config.
        split: of the run's data set.
        prompts: how many captions.
        sampling_seeds: one sound of each caption a seed.
        progress: called with the number of clips done.
    """
    config = read_config(run_dir)
    pipeline = dataclasses.replace(
        load(run_dir, vocoder),
        sampling=settings(SamplingConfig, {"sampling": sampling}, "sampling"),
    )
    spec = pipeline.model.spec
    judge = load_judge(classifier, spec)
    samples = round(pipeline.seconds * spec.sample_rate)
    source = open_source(config["data"]["source"], split, spec.sample_rate)
    reference = draw_reference(source, prompts, samples, judge)
    captions = reference.captions
    waves = []
    for seed in sampling_seeds:
        for i in range(0, len(captions), BATCH):
            batch = captions[i : i + BATCH]
            padded = batch + [""] * (BATCH - len(batch))  # one shape, one compilation
            key = jax.random.fold_in(jax.random.key(seed), i)
            waves.append(pipeline(padded, key=key)[: len(batch)])
            progress(sum(map(len, waves)))
    sounds = np.concatenate(waves).reshape(len(sampling_seeds), len(captions), -1)
    return Heard(
        values=measure(reference, sounds, judge, spec),
        protocols=protocols(
            reference,
            judge,
            spec,
            vocoder=params_hash(pipeline.frozen["vocoder"]),
            sampling_seeds=tuple(sampling_seeds),
        ),
        captions=captions,
        waves=sounds,
        real=reference.audio,
        sample_rate=spec.sample_rate,
    )
