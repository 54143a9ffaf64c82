"""Whether saved mels are on the scale of their recordings' own."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec

FRAMES = 16  # of each saved mel that is compared with that of its recording


def check_scale(spec: AudioSpec, source: Any) -> None:
    """Says how far saved mels are from those of their recordings: mean |difference|.

    Warns if that is more than the latter vary: then they are not on the scale of the
    spec, or not of these recordings.

    Args:
        spec: what the mels mean.
        source: of clips with ``audio`` and ``mel``; a part of eight is looked at.
    """
    border = spec.n_fft // spec.hop_length  # frames that reach beyond the part
    samples = (FRAMES + 2 * border) * spec.hop_length
    clips = []
    for place in np.linspace(0, len(source) - 1, 8).round().astype(int):
        try:
            rng = np.random.default_rng(int(place))
            clips.append(source.draw(int(place), samples, rng))
        except AudioFileError:
            continue  # the pipeline counts it when it comes to it
    if not clips:
        return
    saved = np.stack([clip["mel"] for clip in clips])
    audio = np.stack([clip["audio"] for clip in clips])
    real = np.asarray(log_mel(spec, jnp.asarray(audio)))
    # Neither what reaches beyond the part nor what follows the end of a short clip.
    hops = audio.reshape(*saved.shape[:2], spec.hop_length)
    sounds: np.ndarray = np.any(hops != 0, axis=-1)
    sounds[:, :border] = sounds[:, -border:] = False
    if not sounds.any():
        return
    saved, real = saved[sounds], real[sounds]
    distance = np.mean(np.abs(saved - real))
    if distance <= real.std():
        logging.info("saved mels are %.2f from those of their recordings", distance)
    else:
        spread = np.cov(saved.ravel(), real.ravel())
        slope = spread[0, 1] / max(spread[0, 0], 1e-12)
        logging.warning(
            "saved mels are %.2f from those of their recordings, which vary by %.2f: "
            "they are normalised, of other recordings, or not the audio spec's %s "
            "of magnitudes (nearest: %.2f * saved %+.2f)",
            distance,
            real.std(),
            "natural logarithm" if spec.log == "ln" else "logarithm to base 10",
            slope,
            real.mean() - slope * saved.mean(),
        )
