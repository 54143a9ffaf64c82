"""A published CLAP's preprocessor_config.json, read as our mel front end."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.audio.clap_mel import PADDINGS, ClapMel
from diffusion_audio.pretrained.diffusers_config import whole, wrong

TRUNCATIONS = {"fusion": True, "rand_trunc": False}


def clap_mel_config(config: Mapping[str, Any], whose: str) -> ClapMel:
    """Our settings from those of transformers' ``ClapFeatureExtractor``.

    Args:
        config: as it was read.
        whose: what it is, for errors.

    Raises:
        UserError: it is of another extractor, or a value is not what ours can have.
    """
    kind = config.get("feature_extractor_type")
    if kind != "ClapFeatureExtractor":
        raise wrong("feature_extractor_type", kind, "ClapFeatureExtractor", whose)
    truncation = config.get("truncation", "fusion")
    if not isinstance(truncation, str) or truncation not in TRUNCATIONS:
        raise wrong("truncation", truncation, " or ".join(TRUNCATIONS), whose)
    padding = config.get("padding", "repeatpad")
    if padding not in PADDINGS:
        raise wrong("padding", padding, " or ".join(PADDINGS), whose)
    rate = whole(config, "sampling_rate", 48_000, whose)
    return ClapMel(
        sample_rate=rate,
        n_fft=whole(config, "fft_window_size", 1024, whose),
        hop_length=whole(config, "hop_length", 480, whose),
        n_mels=whole(config, "feature_size", 64, whose),
        fmin=config.get("frequency_min", 0),
        fmax=config.get("frequency_max", 14_000),
        samples=rate * whole(config, "max_length_s", 10, whose, 600),
        fusion=TRUNCATIONS[truncation],
        padding=padding,
    )
