"""Real clips, their reconstructions and what a model makes of their captions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.griffin_lim import griffin_lim
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.evaluation.metrics import (
    band_errors,
    log_spectral_distance,
    mel_l1,
    multi_resolution_stft,
)
from diffusion_audio.generation import Pipeline
from diffusion_audio.generation.batches import BATCH_SIZE, in_batches, joined
from diffusion_audio.training.gan_losses import full_band
from diffusion_audio.training.randomness import purpose_key

GRIFFIN_LIM_ITERATIONS = 60
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
    samples = round(pipeline.seconds * pipeline.model.spec.sample_rate)
    chosen = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    clips = [
        source.draw(int(i), samples, np.random.default_rng([seed, int(i)]))
        for i in chosen
    ]
    captions = [clip["caption"] for clip in clips]
    real = np.stack([clip["audio"] for clip in clips])
    model = pipeline.model
    key = jax.random.key(seed)
    start = {
        "text": model.text.init(purpose_key(key, "untrained text")),
        "unet": model.unet.init(purpose_key(key, "untrained unet")),
    }
    untrained = dataclasses.replace(pipeline, params=start)

    def both(mels: Array) -> tuple[Any, Any]:
        inverted = griffin_lim(model.spec, mels, key, GRIFFIN_LIM_ITERATIONS)
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


def vocoder_table(
    pipeline: Pipeline, real: np.ndarray, seed: int, *, batch_size: int = BATCH_SIZE
) -> dict[str, dict[str, np.ndarray]]:
    """Copy synthesis by the vocoder and by Griffin-Lim: system -> metric -> [n].

    Args:
        pipeline: has the vocoder.
        real: waveforms [n, N] that no stage was trained on.
        seed: of Griffin-Lim's first phases.
        batch_size: clips at a time.
    """
    spec = pipeline.model.spec
    key = jax.random.key(seed)

    def table(real: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        mels = log_mel(spec, jnp.asarray(real))
        systems = {
            "vocoder": pipeline.vocode(mels),
            "griffin_lim": griffin_lim(spec, mels, key, GRIFFIN_LIM_ITERATIONS),
        }
        length = real.shape[1]
        return {n: distances(spec, real, w[:, :length]) for n, w in systems.items()}

    return joined(in_batches(table, real, size=batch_size))


def distances(
    spec: AudioSpec, ref: np.ndarray, est: np.ndarray | Array
) -> dict[str, np.ndarray]:
    """Distances of waveforms [n, N] to their references, [n] each.

    ``mel_l1`` is HiFi-GAN's validation error: mels of the full band down to its floor
    of 1e-5. ``mel_l1_input`` is that of the mels a network is given, with their own
    floor: blind to all that is softer. ``top_band`` is the log-spectral error of the
    highest band, where a vocoder's lines are.
    """
    a, b = jnp.asarray(ref), jnp.asarray(est)
    return {
        "mel_l1": np.asarray(mel_l1(full_band(spec), a, b)),
        "mel_l1_input": np.asarray(mel_l1(spec, a, b)),
        "multi_resolution_stft": np.asarray(multi_resolution_stft(a, b)),
        "log_spectral_distance": np.asarray(
            log_spectral_distance(a, b, spec.sample_rate)
        ),
        "top_band": band_errors(a, b, spec.sample_rate)[:, -1],
    }
