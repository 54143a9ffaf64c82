"""Copy synthesis: real clips to mels and back, by a vocoder and by Griffin-Lim."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.griffin_lim import griffin_lim
from diffusion_audio.audio.mel import full_band, log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.evaluation.metrics import (
    BANDS,
    band_errors,
    log_spectral_distance,
    mel_l1,
)
from diffusion_audio.generation.batches import BATCH_SIZE, in_batches, joined

GRIFFIN_LIM_ITERATIONS = 60
SYSTEMS = ("vocoder", "griffin_lim")


class Copies(NamedTuple):
    """Copies of real clips.

    Attributes:
        waves: by system, float32 [n, N].
        distances: by system and metric, to the real clips, [n].
    """

    waves: dict[str, np.ndarray]
    distances: dict[str, dict[str, np.ndarray]]


def copy(
    spec: AudioSpec,
    vocode: Callable[[Array], Array | np.ndarray],
    real: np.ndarray,
    seed: int,
    *,
    batch_size: int = BATCH_SIZE,
    advance: Callable[[int], None] = lambda rows: None,
) -> Copies:
    """Copies of clips that no stage was trained on, and how far they are from them.

    Args:
        spec: of the mels.
        vocode: log-mels [B, T, F] -> waveforms, at least as long as the clips.
        real: waveforms [n, N].
        seed: of Griffin-Lim's first phases.
        batch_size: clips at a time.
        advance: called with the number of clips of each batch.
    """
    key = jax.random.key(seed)
    length = real.shape[1]

    def both(real: np.ndarray) -> Any:
        mels = log_mel(spec, jnp.asarray(real))
        inverted = griffin_lim(spec, mels, key, GRIFFIN_LIM_ITERATIONS)
        pair = zip(SYSTEMS, (vocode(mels), inverted), strict=True)
        waves = {name: np.asarray(wave)[:, :length] for name, wave in pair}
        return waves, {n: distances(spec, real, wave) for n, wave in waves.items()}

    return Copies(*joined(in_batches(both, real, size=batch_size), advance))


def distances(
    spec: AudioSpec, ref: np.ndarray, est: np.ndarray | Array
) -> dict[str, np.ndarray]:
    """Distances of waveforms [n, N] to their references, [n] each.

    ``mel_l1`` is HiFi-GAN's validation error: mels of the full band down to its floor
    of 1e-5. ``mel_l1_input`` is that of the mels a network is given, with their own
    floor: blind to all that is softer. ``given_bands`` is the log-spectral error of
    those bands that the mels tell of, ``top_band`` of the highest one, where a
    vocoder's lines are.
    """
    a, b = jnp.asarray(ref), jnp.asarray(est)
    errors = band_errors(a, b, spec.sample_rate)
    given = sum(edge <= spec.top for edge in BANDS[1:])
    return {
        "mel_l1": np.asarray(mel_l1(full_band(spec), a, b)),
        "mel_l1_input": np.asarray(mel_l1(spec, a, b)),
        "multi_resolution_stft": np.asarray(multi_resolution_stft(a, b)),
        "log_spectral_distance": np.asarray(
            log_spectral_distance(a, b, spec.sample_rate)
        ),
        "given_bands": errors[:, : max(1, given)].mean(1),
        "top_band": errors[:, -1],
    }
