"""One run measured: its sounds for the prompts, and every measure of them.

A diffusion model makes sounds of captions, a vocoder resynthesizes their real clips.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.audio.decoders import decoding
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.open import open_source
from diffusion_audio.evaluation.attribute_classifier import load_attribute_classifier
from diffusion_audio.evaluation.measures import (
    Reference,
    draw_reference,
    measure,
    protocols,
)
from diffusion_audio.evaluation.protocol import Protocol, params_hash
from diffusion_audio.generation import Pipeline, load, vocode
from diffusion_audio.generation.batches import BATCH_SIZE, joined
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.settings import settings
from diffusion_audio.systems.system import SamplingConfig

# Of a probe: as many as make a batch, and a distance between sets.
PROBE_CLIPS = 16


class Synthesizer(NamedTuple):
    """What makes sounds to be measured.

    Attributes:
        spec: of its mels.
        seconds: length of its sounds.
        vocoder: hash of what makes waveforms of mels.
        sound: ``sound(reference, seed)`` makes those of a reference's captions in
            order, batches [b, N] of waves.
    """

    spec: AudioSpec
    seconds: float
    vocoder: str
    sound: Callable[[Reference, int], Iterator[np.ndarray]]


class Measurement(NamedTuple):
    """What came of one run.

    Attributes:
        values: by measure, [P] for the prompts or [1] for the set.
        protocols: how each was made.
        captions: the prompts.
        waves: float32 [G, P, N], G sounds of each.
        real: the real clips of the captions, [P, N].
        sample_rate: Hz.
        probe: as ``values``, of the first sounds of the first ``PROBE_CLIPS`` prompts.
    """

    values: dict[str, np.ndarray]
    protocols: dict[str, Protocol]
    captions: list[str]
    waves: np.ndarray
    real: np.ndarray
    sample_rate: int
    probe: dict[str, np.ndarray]


def measure_run(
    run_dir: str | Path,
    *,
    vocoder: str | Path | None,
    classifier: str | Path,
    sampling: Mapping[str, Any],
    split: str,
    prompts: int,
    sampling_seeds: tuple[int, ...],
    advance: Callable[[int], None] = lambda clips: None,
    probe_only: bool = False,
) -> Measurement:
    """Generates for captions of a split, or resynthesizes their clips, and measures.

    Args:
        run_dir: work directory of a diffusion run, or of a vocoder's.
        vocoder: that of the vocoder's run; None where the first is one.
        classifier: that of the attribute classifier's run.
        sampling: the group ``sampling`` of a diffusion config.
        split: of the run's data set.
        prompts: how many captions.
        sampling_seeds: one sound of each caption a seed.
        advance: called with the number of clips of each batch that is done.
        probe_only: make no more than ``probe`` needs; ``values`` are the same then.
    """
    config = read_config(run_dir)
    if vocoder is None:
        seconds = read_config(classifier)["data"]["seconds"]
        made_by = resynthesis(vocode.load_voice(run_dir), seconds)
    else:
        drawn = settings(SamplingConfig, {"sampling": sampling}, "sampling")
        pipeline = load(run_dir, vocoder)
        made_by = generating(dataclasses.replace(pipeline, sampling=drawn))
    spec = made_by.spec
    attributes = load_attribute_classifier(classifier, spec)
    samples = round(made_by.seconds * spec.sample_rate)
    place = config["data"]["source"]
    with decoding() as decode:
        source = open_source(place, split, spec.sample_rate, decode=decode)
        reference = draw_reference(source, prompts, samples, attributes)
    few = reference.first(PROBE_CLIPS)
    if probe_only:
        reference, sampling_seeds = few, sampling_seeds[:1]
    sounds = np.stack(
        [joined(made_by.sound(reference, seed), advance) for seed in sampling_seeds]
    )
    probe = measure(few, sounds[:1, : len(few.captions)], spec)
    return Measurement(
        values=probe if probe_only else measure(reference, sounds, spec),
        protocols=protocols(
            reference,
            spec,
            vocoder=made_by.vocoder,
            sampling_seeds=tuple(sampling_seeds),
        ),
        captions=reference.captions,
        waves=sounds,
        real=reference.audio,
        sample_rate=spec.sample_rate,
        probe=probe,
    )


def generating(pipeline: Pipeline) -> Synthesizer:
    """A diffusion model, given captions."""

    def sound(reference: Reference, seed: int) -> Iterator[np.ndarray]:
        return pipeline.batches(reference.captions, key=jax.random.key(seed))

    return Synthesizer(
        pipeline.system.spec,
        pipeline.seconds,
        params_hash(pipeline.frozen["vocoder"]),
        sound,
    )


def resynthesis(
    voice: vocode.Voice, seconds: float, batch_size: int = BATCH_SIZE
) -> Synthesizer:
    """A vocoder, given the mels of real clips; seeds change nothing."""

    def sound(reference: Reference, seed: int) -> Iterator[np.ndarray]:
        del seed
        clips = ((i, [wave]) for i, wave in enumerate(reference.audio))
        window = reference.audio.shape[1] / voice.spec.sample_rate
        made = vocode.resynthesize(voice, clips, seconds=window, batch_size=batch_size)
        for _, blocks in made:
            yield np.concatenate(list(blocks))[None]

    # What is compared is the vocoder itself, so it is no part of how.
    return Synthesizer(voice.spec, seconds, "the system under test", sound)
