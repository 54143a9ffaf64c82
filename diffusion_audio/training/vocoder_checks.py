"""What a vocoder's settings must agree on, and what it starts from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.audio.mel_files import AXES
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.runs.components import load_components, load_discriminators
from diffusion_audio.systems import vocoders
from diffusion_audio.systems.table import configured
from diffusion_audio.systems.vocoders import Vocoder
from diffusion_audio.training.loop import TrainConfig


def check_start(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuses to start from a vocoder of another shape; groups ``vocoder`` of both."""
    # What may differ without another shape or meaning of the parameters.
    free = ("weight_norm", "dtype", "init")
    ours, start = (
        {"name": group["name"]}
        | dataclasses.asdict(configured(vocoders.TABLE, group, "config.vocoder")[1])
        for group in (mine, theirs)
    )
    wrong = [
        f"{name}: {value} != {start.get(name)}"
        for name, value in ours.items()
        if value != start.get(name) and name not in free
    ]
    if wrong:
        raise UserError(
            "config.vocoder is not that of config.components.vocoder, from which it is "
            f"to start ({'; '.join(wrong)})"
        )


def load_start(config: Mapping[str, Any]) -> Params:
    """What a new run starts from: its components, and a vocoder's ``discriminators``.

    Args:
        config: resolved.
    """
    loaded = load_components(config)
    if "vocoder" in loaded:
        part = config["components"]["vocoder"]
        known = load_discriminators(part["run"], part.get("step"))
        loaded["discriminators"] = known
    return loaded


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
    spec: AudioSpec, vocoder: Vocoder, train: TrainConfig, seconds: float
) -> None:
    """Refuses settings that contradict each other."""
    if vocoder.n_mels != spec.n_mels:
        raise UserError(
            f"config.vocoder takes {vocoder.n_mels} mel bands (n_mels), but the audio "
            f"spec has {spec.n_mels}"
        )
    if vocoder.hop_length != spec.hop_length:
        raise UserError(
            f"config.vocoder makes {vocoder.hop_length} samples of a mel frame (its "
            "rates multiplied, and the hop of an inverse STFT), but the audio spec's "
            f"hop_length is {spec.hop_length}"
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


def check_input_mels(config: Mapping[str, Any]) -> None:
    """Refuses two kinds of input mels, or an order of axes that does not exist."""
    mels, axes = (config["data"].get(key, "") for key in ("mels", "mel_axes"))
    if mels and "autoencoder" in config.get("components", {}):
        raise UserError(
            "a vocoder is trained on saved mels (config.data.mels) or those that an "
            "autoencoder rebuilds (config.components.autoencoder): leave one of the "
            "two empty"
        )
    if axes and axes not in AXES:
        raise unknown("config.data.mel_axes", axes, AXES)
    if axes and not mels:
        raise UserError(
            f"config.data.mel_axes is {axes!r}, but config.data.mels names no mels: "
            f"give their folder, or leave both empty"
        )
