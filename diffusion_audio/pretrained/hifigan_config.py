"""The config.json beside a published HiFi-GAN, and what it leaves open.

It says the shape of the generator, hardly how the mels were made, and never where the
code beside it cuts the sample that an odd stage makes too many. What is known of the
published systems is here; the rest is the user's to say.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from diffusion_audio.audio.spec import PRESETS, AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import SLOPE, HiFiGANConfig

# Its names of settings -> ours. The first are the original's, then transformers'.
SETTINGS = {
    "num_mels": "n_mels",
    "model_in_dim": "n_mels",
    "upsample_initial_channel": "channels",
    "upsample_rates": "rates",
    "upsample_kernel_sizes": "kernels",
    "resblock": "resblock",
    "resblock_kernel_sizes": "resblock_kernels",
    "resblock_dilation_sizes": "dilations",
}
# Settings of others that our generator has one value of. BigVGAN's are the last four;
# its layers have other names as well.
FIXED: dict[str, tuple[Any, ...]] = {
    "normalize_before": (False, None),
    "use_spectral_norm": (False, None),
    "gin_channels": (0, None),
    "num_speakers": (0, 1, None),
    "gen_istft_n_fft": (0, None),
    "activation": ("leaky_relu", "LeakyReLU", "lrelu", None),
    "snake_logscale": (True, None),
    "use_tanh_at_final": (True, None),
    "use_bias_at_final": (True, None),
}
AUDIO = {
    "sampling_rate": "sample_rate",
    "num_mels": "n_mels",
    "model_in_dim": "n_mels",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "fmin": "fmin",
    "fmax": "fmax",
}
# Settings of mels that our spectra have one value of.
FIXED_AUDIO: dict[str, tuple[Any, ...]] = {
    "window": ("hann", "hann_window", "hanning", None),
    "power": (1, 1.0, None),
    "preemphasis": (0, 0.0, None),
    "log_base": ("e", "natural", 10, 10.0, "10", math.e, None),
    "signal_norm": (False, None),
}
LARGEST, LONGEST = 1 << 20, 64  # a number, and a list, of any generator
BASE = "hifigan_22k"  # has what HiFi-GAN's code does where no config says it
# Published systems with odd stages, by rates and kernels, and what their code does.
KNOWN_CUTS: dict[tuple[tuple[int, ...], tuple[int, ...]], str] = {
    ((5, 4, 2, 2, 2), (16, 16, 8, 4, 4)): "end",  # AudioLDM and AudioLDM 2 at 16 kHz
    ((6, 5, 4, 2, 2), (12, 10, 8, 4, 4)): "start",  # AudioLDM at 48 kHz
}


class Spec(NamedTuple):
    """The mels that a vocoder takes, and what was assumed of them.

    Attributes:
        spec: the whole of it.
        assumed: fields that neither config nor user said, as ``name=value``.
    """

    spec: AudioSpec
    assumed: tuple[str, ...]


def is_vocoder(config: Mapping[str, Any]) -> bool:
    """Whether a config is one of a HiFi-GAN, as far as its names say."""
    return "upsample_rates" in config


def generator_config(
    config: Mapping[str, Any], whose: str, cut: str | None = None
) -> HiFiGANConfig:
    """Our settings from a published config.json.

    Args:
        config: as it was read.
        whose: what it is, for errors.
        cut: where the sample goes that a stage of odd kernel - rate makes too many,
            see `HiFiGANConfig`; needed where there is such a stage, unless the config
            is one of a system whose code is known.

    Raises:
        UserError: a setting lacks, has the wrong type, asks for what our generator does
            not do, or leaves open what ``cut`` says.
    """
    slope = config.get("leaky_relu_slope", SLOPE)
    if not isinstance(slope, int | float) or not math.isclose(slope, SLOPE):
        raise UserError(f"{whose} has leaky_relu_slope {slope!r}; expected {SLOPE}")
    _require_fixed(config, FIXED, whose)
    found = {ours: config[name] for name, ours in SETTINGS.items() if name in config}
    found.setdefault("resblock", "1")  # transformers knows no other
    lacking = sorted(set(SETTINGS.values()) - found.keys())
    if lacking:
        raise UserError(
            f"{whose} is no config of a HiFi-GAN: it lacks {', '.join(lacking)}"
        )
    found["resblock"] = str(found["resblock"])
    for name in ("n_mels", "channels"):
        _require_shape(found[name], 0, name, whose)
    for name in ("rates", "kernels", "resblock_kernels"):
        _require_shape(found[name], 1, name, whose)
    _require_shape(found["dilations"], 2, "dilations", whose)
    cfg = HiFiGANConfig(**found)
    return HiFiGANConfig(**found, cut=cut or _cut(config, cfg, whose))


def _cut(config: Mapping[str, Any], cfg: HiFiGANConfig, whose: str) -> str:
    """Where the code beside a config cuts, if it can be known."""
    odd = [
        f"kernel {kernel}, rate {rate}"
        for rate, kernel in zip(cfg.rates, cfg.kernels, strict=True)
        if (kernel - rate) % 2
    ]
    if not odd:
        return cfg.cut
    if "model_in_dim" in config:  # transformers' word for the mels
        return "end"  # its SpeechT5HifiGan pads (kernel - rate) // 2 on both sides
    if (cfg.rates, cfg.kernels) in KNOWN_CUTS:
        return KNOWN_CUTS[cfg.rates, cfg.kernels]
    raise UserError(
        f"{whose} has a stage of odd kernel - rate ({'; '.join(odd)}) and does not say "
        f"where its code cuts the sample that is one too many; give --cut=end (its "
        "padding is (kernel - rate) // 2, as in HiFi-GAN's code) or --cut=start (its "
        "padding is rounded up, with an output_padding of 1); the wrong one is noise"
    )


def audio_spec(
    config: Mapping[str, Any], hop_length: int, audio: str | None, whose: str
) -> Spec:
    """The mels that a published vocoder takes.

    Args:
        config: the published config.json.
        hop_length: of the generator.
        audio: preset of the AudioSpec with changes, as `AudioSpec.parse` takes it, for
            what the config does not say, as transformers' says hardly anything; or
            changes alone, of what the config says and HiFi-GAN's code does.
        whose: what the config is, for errors.

    Raises:
        UserError: something is not said, or contradicts the config.
    """
    _require_fixed(config, FIXED_AUDIO, whose)
    said = _said(config, hop_length, whose)
    words = [word.strip() for word in (audio or "").split(",") if word.strip()]
    if words and "=" not in words[0]:
        spec = AudioSpec.parse(",".join(words))
        assumed: tuple[str, ...] = ()
    else:
        changed = {word.partition("=")[0].strip() for word in words}
        if not {"n_fft", "win_length", "sample_rate"} <= said.keys() | changed:
            raise UserError(
                f"{whose} does not say how its mels are made; give --audio="
                f"{'|'.join(_fitting(said) or PRESETS)}, with ,field=value for what "
                "differs"
            )
        known = {"fmax": said.get("sample_rate", 0) / 2} | said
        base = [f"{name}={known[name]}" for name in known if name not in changed]
        spec = AudioSpec.parse(",".join([BASE, *base, *words]))
        assumed = tuple(
            f"{name}={value}"
            for name, value in spec.to_dict().items()
            if name not in said and name not in changed and value is not None
        )
    wrong = _contradictions(spec, said)
    if wrong:
        raise UserError(
            f"--audio={audio} is not that of {whose}: {'; '.join(wrong)}"
            if audio
            else f"{whose} contradicts itself: {'; '.join(wrong)}"
        )
    return Spec(spec, assumed)


def _said(config: Mapping[str, Any], hop_length: int, whose: str) -> dict[str, Any]:
    """The fields of the AudioSpec that a config gives, as numbers and names."""
    said = {ours: config[name] for name, ours in AUDIO.items() if name in config}
    if said.get("hop_length", hop_length) != hop_length:
        raise UserError(
            f"{whose} contradicts itself: hop_size is {said['hop_length']}, and its "
            f"upsample_rates make {hop_length} samples of a frame"
        )
    said["hop_length"] = hop_length
    for name, value in said.items():
        edge = name in ("fmin", "fmax") and value is None
        if not edge and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UserError(f"{whose} has {name} {value!r}; expected a number")
    if "fmin" in said:
        said["fmin"] = said["fmin"] or 0.0
    if said.get("fmax", 0) is None:
        del said["fmax"]
        if "sample_rate" in said:
            said["fmax"] = said["sample_rate"] / 2
    if config.get("center") is not None:
        said["framing"] = "centre" if config["center"] else "hifigan"
    if config.get("log_base") is not None:
        said["log"] = "log10" if str(config["log_base"]) in ("10", "10.0") else "ln"
    return said


def _contradictions(spec: AudioSpec, said: Mapping[str, Any]) -> list[str]:
    theirs = spec.to_dict()
    return [
        f"{name} {theirs[name]} != {value}"
        for name, value in said.items()
        if theirs[name] != value
    ]


def _fitting(said: Mapping[str, Any]) -> list[str]:
    return [name for name, spec in PRESETS.items() if not _contradictions(spec, said)]


def _require_fixed(
    config: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], whose: str
) -> None:
    for name, allowed in fixed.items():
        value = config.get(name)
        if not any(type(value) is type(a) and value == a for a in allowed):
            raise UserError(
                f"{whose} asks for {name} {str(value)[:80]!r}, which is not supported; "
                f"expected {' or '.join(map(repr, allowed))}"
            )


def _require_shape(value: Any, depth: int, name: str, whose: str) -> None:
    """Refuses what is no positive whole number, or no lists of them to a depth."""
    if depth == 0:
        right = type(value) is int and 0 < value <= LARGEST
    else:
        right = isinstance(value, list) and 0 < len(value) <= LONGEST
    if not right:
        kind = (f"a whole number up to {LARGEST}", "a list", "a list of lists")[depth]
        theirs = " or ".join(n for n, ours in SETTINGS.items() if ours == name)
        raise UserError(
            f"{whose} has a setting of the wrong type: {theirs} is or has "
            f"{str(value)[:80]!r}, expected {kind}"
        )
    if depth:
        for item in value:
            _require_shape(item, depth - 1, name, whose)


def speech_t5_json(cfg: HiFiGANConfig, sample_rate: int) -> dict[str, Any]:
    """Transformers' config.json of a generator; `generator_config` reads it back.

    Raises:
        UserError: transformers has no such generator.
    """
    odd = any((k - r) % 2 for k, r in zip(cfg.kernels, cfg.rates, strict=True))
    plain = cfg.resblock == "1" and not cfg.istft_n_fft
    if not plain or cfg.activation != "leaky_relu" or (odd and cfg.cut != "end"):
        raise UserError(
            "transformers' SpeechT5HifiGan has residual blocks of kind 1, leaky ReLU, "
            "no inverse STFT and cuts at the end; this vocoder differs, so keep it in "
            "our own layout"
        )
    theirs = {ours: name for name, ours in SETTINGS.items() if name != "num_mels"}
    found = {name: getattr(cfg, ours) for ours, name in theirs.items()}
    found.pop("resblock")
    return {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "hifigan",
        **found,
        "sampling_rate": sample_rate,
        "leaky_relu_slope": SLOPE,
        "normalize_before": False,
    }
