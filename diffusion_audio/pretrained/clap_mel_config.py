"""A published CLAP's preprocessor_config.json, read as our mel front end."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.audio.clap_mel import PADDINGS, ClapMel
from diffusion_audio.pretrained.diffusers_config import whole, wrong

TRUNCATIONS = {"fusion": True, "rand_trunc": False}
MOST_RATE, MOST_FFT, MOST_BANDS = 384_000, 1 << 14, 512


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
    rate = whole(config, "sampling_rate", 48_000, whose, MOST_RATE)
    edges = {"frequency_min": 0, "frequency_max": 14_000}
    for name in edges:
        edges[name] = config.get(name, edges[name])
        number = type(edges[name]) in (int, float)
        if not number or not 0 <= edges[name] <= rate / 2:
            raise wrong(name, edges[name], f"a number from 0 to {rate / 2:g}", whose)
    return ClapMel(
        sample_rate=rate,
        n_fft=whole(config, "fft_window_size", 1024, whose, MOST_FFT),
        hop_length=whole(config, "hop_length", 480, whose, MOST_FFT),
        n_mels=whole(config, "feature_size", 64, whose, MOST_BANDS),
        fmin=edges["frequency_min"],
        fmax=edges["frequency_max"],
        samples=rate * whole(config, "max_length_s", 10, whose, 600),
        fusion=TRUNCATIONS[truncation],
        padding=padding,
    )


def clap_mel_json(cfg: ClapMel) -> dict[str, Any]:
    """Transformers' preprocessor_config.json; `clap_mel_config` reads it back."""
    (truncation,) = (name for name, on in TRUNCATIONS.items() if on == cfg.fusion)
    return {
        "feature_extractor_type": "ClapFeatureExtractor",
        "sampling_rate": cfg.sample_rate,
        "fft_window_size": cfg.n_fft,
        "hop_length": cfg.hop_length,
        "feature_size": cfg.n_mels,
        "frequency_min": cfg.fmin,
        "frequency_max": cfg.fmax,
        "max_length_s": cfg.samples // cfg.sample_rate,
        "nb_max_samples": cfg.samples,
        "nb_max_frames": cfg.samples // cfg.hop_length,
        "truncation": truncation,
        "padding": cfg.padding,
        "padding_value": 0.0,
        "return_attention_mask": False,
        "top_db": None,
    }
