"""What a vocoder's settings and saved mels must agree on, checked before training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.mel_files import AXES
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.training.loop import TrainConfig

FRAMES = 16  # of each saved mel that is compared with that of its recording


def check_start(mine: HiFiGANConfig, theirs: HiFiGANConfig) -> None:
    """Refuses to start from a generator of another shape."""
    # What may differ without another shape or meaning of the parameters.
    free = ("weight_norm", "dtype", "init")
    start = dataclasses.asdict(theirs)
    wrong = [
        f"{name}: {value} != {start[name]}"
        for name, value in dataclasses.asdict(mine).items()
        if value != start[name] and name not in free
    ]
    if wrong:
        raise UserError(
            "config.generator is not that of config.components.vocoder, from which "
            f"it is to start ({'; '.join(wrong)})"
        )


def adopted(known: Params, fresh: Params) -> Params:
    """Trained discriminators of the kinds and shapes of ours, else fresh ones."""
    taken = {
        kind: known[kind]
        for kind, params in fresh.items()
        if kind in known and _shapes(known[kind]) == _shapes(params)
    }
    for kind in fresh.keys() - taken.keys():
        logging.warning(
            "discriminator %s starts anew: config.components.vocoder has none like it",
            kind,
        )
    return fresh | taken


def _shapes(params: Params) -> Params:
    return jax.tree.map(lambda leaf: tuple(leaf.shape), params)


def check(
    spec: AudioSpec, cfg: HiFiGANConfig, train: TrainConfig, seconds: float
) -> None:
    """Refuses settings that contradict each other."""
    if cfg.n_mels != spec.n_mels:
        raise UserError(
            f"config.generator.n_mels is {cfg.n_mels}, but the audio spec has "
            f"{spec.n_mels} mel bands"
        )
    if cfg.hop_length != spec.hop_length:
        raise UserError(
            f"config.generator.rates {cfg.rates} multiply to {cfg.hop_length}"
            f"{' with the inverse STFT' * bool(cfg.istft_n_fft)}, but the audio "
            f"spec's hop_length is {spec.hop_length}"
        )
    if spec.framing != "hifigan":
        raise UserError(
            f"a vocoder needs one mel frame for each hop: framing 'hifigan', not "
            f"{spec.framing!r}"
        )
    samples = round(seconds * spec.sample_rate)
    if samples % spec.hop_length:
        near = round(samples / spec.hop_length) * spec.hop_length
        raise UserError(
            f"config.data.seconds is a segment of {samples} samples, not a multiple of "
            f"hop_length {spec.hop_length}; set it to {near / spec.sample_rate:.8g}"
        )
    if train.accumulate > 1:
        raise UserError(
            f"the vocoder task takes a batch in one part: config.train.accumulate must "
            f"be 1, not {train.accumulate}"
        )


def check_heard(config: Mapping[str, Any]) -> None:
    """Refuses two kinds of mels to hear, or an order of axes that does not exist."""
    mels, axes = (config["data"].get(key, "") for key in ("mels", "mel_axes"))
    if mels and "vae" in config.get("components", {}):
        raise UserError(
            "a vocoder hears saved mels (config.data.mels) or those that a VAE "
            "rebuilds (config.components.vae): leave one of the two empty"
        )
    if axes and axes not in AXES:
        raise unknown("config.data.mel_axes", axes, AXES)
    if axes and not mels:
        raise UserError(
            f"config.data.mel_axes is {axes!r}, but config.data.mels names no mels: "
            f"give their folder, or leave both empty"
        )


def check_scale(spec: AudioSpec, source: Any) -> None:
    """Says how far saved mels are from those of their recordings: mean |difference|.

    Warns if that is more than the latter vary: then they are not on the scale of the
    spec, or not of these recordings.

    Args:
        spec: what the mels mean.
        source: of clips with ``audio`` and ``mel``; a part of eight is looked at.
    """
    border = spec.n_fft // spec.hop_length  # frames that hear beyond the part
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
    # Neither what hears beyond the part nor what follows the end of a short clip.
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
