"""Real clips, their reconstructions and what a model makes of their captions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.audio.griffin_lim import griffin_lim
from diffusion_audio.data.source import drawn_evenly
from diffusion_audio.evaluation.copies import GRIFFIN_LIM_ITERATIONS
from diffusion_audio.generation import Pipeline
from diffusion_audio.generation.batches import BATCH_SIZE, in_batches, joined

STAGES = 3  # that `compare` takes every clip through


class Comparison(NamedTuple):
    """Sounds of the same captions, float32 [n, N] each.

    Attributes:
        captions: what was asked for.
        attributes: of the real clips; empty where the set has none.
        real: the clips of the set.
        rebuilt: the clips through VAE and vocoder.
        generated: from the captions, at the run's own guidance.
        inverted: the same mels as ``generated``, by Griffin-Lim instead of the
            vocoder: what the diffusion stage did, apart from the vocoder.
        untrained: from the captions, by the same networks before training.
    """

    captions: list[str]
    attributes: list[dict[str, str]]
    real: np.ndarray
    rebuilt: np.ndarray
    generated: np.ndarray
    inverted: np.ndarray
    untrained: np.ndarray


def compare(
    pipeline: Pipeline,
    source: Any,
    count: int,
    seed: int,
    *,
    batch_size: int = BATCH_SIZE,
    advance: Callable[[int], None] = lambda rows: None,
) -> Comparison:
    """Draws ``count`` clips of a source evenly and makes their counterparts.

    Args:
        pipeline: the model.
        source: real clips with captions.
        count: number of captions; at most all of the source.
        seed: of crops and of generation.
        batch_size: clips that are made at a time, which memory grows with.
        advance: called with the number of clips of each batch; ``STAGES`` times
            ``count`` of them in all.
    """
    samples = round(pipeline.seconds * pipeline.system.spec.sample_rate)
    clips = drawn_evenly(source, count, samples, seed)
    captions = [clip["caption"] for clip in clips]
    real = np.stack([clip["audio"] for clip in clips])
    system = pipeline.system
    key = jax.random.key(seed)
    untrained = dataclasses.replace(pipeline, params=system.init(key, "untrained"))

    def both(mels: np.ndarray) -> tuple[Any, Any]:
        log_mels = jnp.asarray(mels)
        inverted = griffin_lim(system.spec, log_mels, key, GRIFFIN_LIM_ITERATIONS)
        return pipeline.vocode(mels)[:, :samples], inverted[:, :samples]

    options: Any = {"key": key, "batch_size": batch_size}
    generated, inverted = joined(pipeline.batches(captions, both, **options), advance)
    nothing = joined(untrained.batches(captions, **options), advance)
    copies = in_batches(pipeline.reconstruct, real, size=batch_size)
    return Comparison(
        captions,
        [clip["attributes"] for clip in clips],
        real,
        joined(copies, advance),
        generated,
        inverted,
        nothing,
    )
