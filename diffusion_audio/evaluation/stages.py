"""What each stage of a model makes of real clips, of their mels and captions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.audio.griffin_lim import griffin_lim
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.evaluation.measures import Reference
from diffusion_audio.generation import Pipeline
from diffusion_audio.generation.batches import in_batches, joined

GRIFFIN_LIM_ITERATIONS = 60
PASSES = 5  # of a batch of clips through `of_captions`

Waves = dict[str, np.ndarray]
"""Float32 [P, N], by stage."""


def of_captions(
    pipeline: Pipeline,
    reference: Reference,
    advance: Callable[[int], None],
    *,
    seed: int,
    batch_size: int,
) -> Waves:
    """The stages of a text-to-audio model, and what each of them does by itself.

    Args:
        pipeline: the model.
        reference: P captions and their clips.
        advance: called with the number of clips of each batch; ``PASSES`` times P of
            them in all.
        seed: of generation.
        batch_size: clips that are made at a time, which memory grows with.

    Returns:
        ``rebuilt``: the clips through VAE and vocoder. ``generated``: from the
        captions, in the run's own way. ``inverted``: the same mels by Griffin-Lim:
        what diffusion did, apart from the vocoder. ``untrained``: from the captions,
        by the same networks before training. ``vocoder`` and ``griffin_lim``: the mels
        of the clips by either.
    """
    captions, real = reference.captions, reference.audio
    samples, key, spec = real.shape[1], jax.random.key(seed), pipeline.system.spec
    untrained = dataclasses.replace(
        pipeline, params=pipeline.system.init(key, "untrained")
    )

    def both(mels: np.ndarray) -> tuple[Any, Any]:
        inverted = griffin_lim(spec, jnp.asarray(mels), key, GRIFFIN_LIM_ITERATIONS)
        return pipeline.vocode(mels)[:, :samples], inverted[:, :samples]

    options: Any = {"key": key, "batch_size": batch_size}
    generated, inverted = joined(pipeline.batches(captions, both, **options), advance)
    nothing = joined(untrained.batches(captions, **options), advance)

    def through(function: Callable[[np.ndarray], Any]) -> Any:
        return joined(in_batches(function, real, size=batch_size), advance)

    return {
        "rebuilt": through(pipeline.reconstruct),
        "generated": generated,
        "inverted": inverted,
        "untrained": nothing,
        "vocoder": through(
            lambda clips: pipeline.vocode(log_mel(spec, clips))[:, :samples]
        ),
        "griffin_lim": through(lambda clips: inverted_mels(spec, clips, seed)),
    }


def inverted_mels(spec: AudioSpec, clips: np.ndarray, seed: int) -> np.ndarray:
    """Waveforms [B, N] of clips' mels by Griffin-Lim, its first phases of a seed."""
    mels, key = log_mel(spec, jnp.asarray(clips)), jax.random.key(seed)
    waves = griffin_lim(spec, mels, key, GRIFFIN_LIM_ITERATIONS)
    return np.asarray(waves[:, : clips.shape[1]])
