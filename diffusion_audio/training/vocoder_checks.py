"""What a vocoder's settings must agree on, checked before anything is computed."""

import dataclasses

import jax
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.training.loop import TrainConfig


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
