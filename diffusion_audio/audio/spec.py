"""AudioSpec: what a mel spectrogram is, for data, autoencoder and vocoder alike."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from diffusion_audio.errors import UserError, unknown

CHOICES = {
    "mel_scale": ("slaney", "htk"),
    "mel_norm": ("slaney", "none"),
    "log": ("ln", "log10"),
    "framing": ("hifigan", "centre"),
}


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """How a waveform becomes a log-mel spectrogram, and how networks scale it.

    Attributes:
        sample_rate: samples a second, Hz.
        n_fft: length of the Fourier transform, samples.
        win_length: length of the periodic Hann window, centred in ``n_fft``.
        hop_length: samples between frames.
        n_mels: number of mel bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz; ``None`` becomes half the rate.
        mel_scale: ``"slaney"`` or ``"htk"``.
        mel_norm: ``"slaney"`` (bands of equal area) or ``"none"`` (equal height).
        log: ``"ln"`` or ``"log10"``.
        floor: mel magnitudes below it are raised to it before the logarithm.
        power_eps: added to ``|X|^2`` before the square root.
        framing: ``"hifigan"`` (reflect (n_fft - hop) / 2 samples on both sides,
            N / hop frames) or ``"centre"`` (reflect n_fft / 2, 1 + N // hop frames).
        value_low: log-mel value that networks see as -1; ``None`` for no scaling.
        value_high: log-mel value that networks see as +1.

    Raises:
        UserError: if a field has the wrong type or contradicts another.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None
    mel_scale: str = "slaney"
    mel_norm: str = "slaney"
    log: str = "ln"
    floor: float = 1e-5
    power_eps: float = 0.0
    framing: str = "hifigan"
    value_low: float | None = None
    value_high: float | None = None

    def __post_init__(self) -> None:
        # One spelling for each meaning, so that equal specs have equal hashes.
        for field in dataclasses.fields(self):
            value = _canonical(field.name, field.type, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.fmax is None:
            object.__setattr__(self, "fmax", self.sample_rate / 2)
        for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        self._require(self.win_length <= self.n_fft, "win_length", "at most n_fft")
        self._require(
            self.hop_length <= self.win_length, "hop_length", "at most win_length"
        )
        self._require(0 <= self.fmin < self.top, "fmin", "at least 0 and below fmax")
        self._require(
            self.top <= self.sample_rate / 2, "fmax", "at most half the sample rate"
        )
        self._require(self.floor > 0, "floor", "above 0")
        self._require(self.power_eps >= 0, "power_eps", "at least 0")
        self._require(
            self.framing == "centre" or (self.n_fft - self.hop_length) % 2 == 0,
            "hop_length",
            "even when n_fft is even, and odd when it is odd, for framing 'hifigan'",
        )
        low, high = self.value_low, self.value_high
        rising = low is not None and high is not None and low < high
        if not rising and (low, high) != (None, None):
            raise UserError(
                "audio spec: value_low and value_high must be two rising numbers or "
                f"both None, got {low} and {high}"
            )

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise UserError(f"audio spec: {name} must be {expected}, got {value}")

    @property
    def top(self) -> float:
        """``fmax`` as a number, Hz (``None`` is gone once a spec exists)."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax

    @property
    def pad(self) -> int:
        """Samples reflected on either side before framing."""
        margin = self.n_fft - (self.hop_length if self.framing == "hifigan" else 0)
        return margin // 2

    def frames(self, samples: int) -> int:
        """Number of frames that ``samples`` samples make."""
        return samples // self.hop_length + (self.framing == "centre")

    def samples(self, frames: int) -> int:
        """Fewest samples that make ``frames`` frames: what a vocoder must return."""
        return (frames - (self.framing == "centre")) * self.hop_length

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that differ whenever a field differs."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "AudioSpec":
        """The spec with these fields.

        Raises:
            UserError: for a field that does not exist, or a needed one left out.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise unknown("audio spec field", name, known)
        needed = [
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.name not in fields
        ]
        if needed:
            raise UserError(
                f"audio spec lacks {', '.join(needed)}: give them, or name a preset "
                f"({', '.join(PRESETS)})"
            )
        return cls(**fields)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "AudioSpec":
        """The spec of a config group: ``preset`` and overrides, or all fields.

        Beside a preset, a field that is ``None`` is as the preset has it; the preset
        may be any text that `parse` takes, where ``fmax=none`` is another value.

        Raises:
            UserError: for an unknown preset or field.
        """
        fields = {name: config[name] for name in config}
        if "preset" not in fields:
            return cls.from_dict(fields)
        preset = fields.pop("preset")
        given = {name: value for name, value in fields.items() if value is not None}
        return cls.from_dict((_fields(preset) if preset else {}) | given)

    @classmethod
    def parse(cls, text: str) -> "AudioSpec":
        """The spec that a line names: ``PRESET``, and fields that differ from it.

        Args:
            text: such as ``"hifigan_22k"`` or ``"hifigan_22k,fmin=30,fmax=none"``;
                without a preset, all fields that have no default.

        Raises:
            UserError: for an unknown preset or field, or a value that is none.
        """
        return cls.from_dict(_fields(text))

    def differences(self, other: "AudioSpec") -> list[str]:
        """One line a field that differs, such as ``"fmax: 8000.0 != 7600.0"``."""
        theirs = other.to_dict()
        return [
            f"{name}: {value} != {theirs[name]}"
            for name, value in self.to_dict().items()
            if value != theirs[name]
        ]

    def require_same(
        self, other: "AudioSpec", mine: str = "this model", theirs: str = "the other"
    ) -> None:
        """Refuses to let two parts with different mel spectrograms meet.

        Args:
            other: the spec to compare with.
            mine: what this spec belongs to, such as ``"vocoder"``.
            theirs: what the other belongs to.

        Raises:
            UserError: with every field that differs.
        """
        differences = self.differences(other)
        if differences:
            raise UserError(
                f"{mine} and {theirs} use different audio specs "
                f"({mine} != {theirs}): {'; '.join(differences)}; "
                "use parts trained with one spec"
            )


def _fields(text: str) -> dict[str, Any]:
    """The fields of ``PRESET,FIELD=VALUE,...``; values are not checked yet."""
    first, *rest = [word.strip() for word in str(text).split(",")]
    fields: dict[str, Any] = {}
    if "=" in first:
        rest = [first, *rest]
    elif first not in PRESETS:
        raise unknown("audio preset", first, PRESETS)
    else:
        fields = PRESETS[first].to_dict()
    given: dict[str, Any] = {}
    for word in rest:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not value:
            raise UserError(
                f"audio spec {text!r}: expected FIELD=VALUE after the preset, such as "
                f"fmax=12000, got {word!r}"
            )
        if name in given:
            raise UserError(f"audio spec {text!r} gives {name} twice")
        given[name] = value if name in CHOICES else _value(value)
    return fields | given


def _value(text: str) -> Any:
    """A number, ``None`` for ``none``, else the text."""
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _canonical(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the plain type of the field, or a UserError."""
    if kind is str:
        if value not in CHOICES[name]:
            raise unknown(f"audio spec {name}", value, CHOICES[name])
        return str(value)
    if value is None and kind is not int and kind is not float:
        return None
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise UserError(f"audio spec: {name} must be a number, got {value!r}")
    if kind is not int:
        return float(value)
    if value != int(value):
        raise UserError(f"audio spec: {name} must be a whole number, got {value!r}")
    return int(value)


PRESETS: dict[str, AudioSpec] = {
    # AudioLDM and AudioLDM 2 at 16 kHz, as their VAE and vocoder were trained.
    "audioldm_16k": AudioSpec(
        sample_rate=16000,
        n_fft=1024,
        win_length=1024,
        hop_length=160,
        n_mels=64,
        fmax=8000.0,
    ),
    # AudioLDM 2 at 48 kHz.
    "audioldm_48k": AudioSpec(
        sample_rate=48000,
        n_fft=2048,
        win_length=2048,
        hop_length=480,
        n_mels=256,
        fmin=20.0,
        fmax=24000.0,
    ),
    # Auffusion: 10.24 s is a 1024 x 256 spectrogram; the range is its published one.
    "auffusion_16k": AudioSpec(
        sample_rate=16000,
        n_fft=2048,
        win_length=1024,
        hop_length=160,
        n_mels=256,
        fmax=8000.0,
        power_eps=1e-9,
        value_low=math.log(1e-5),
        value_high=math.log(200.0),
    ),
    # HiFi-GAN V1, V2, V3 (LJSpeech and universal).
    "hifigan_22k": AudioSpec(
        sample_rate=22050,
        n_fft=1024,
        win_length=1024,
        hop_length=256,
        n_mels=80,
        fmax=8000.0,
        power_eps=1e-9,
    ),
    # BigVGAN v2 (Lee et al. 2023), from NVIDIA's bigvgan_v2_24khz_100band_256x and
    # bigvgan_v2_44khz_128band_512x: HiFi-GAN's mels up to half the rate.
    "bigvgan_24k": AudioSpec(
        sample_rate=24000,
        n_fft=1024,
        win_length=1024,
        hop_length=256,
        n_mels=100,
        fmax=12000.0,
        power_eps=1e-9,
    ),
    "bigvgan_44k": AudioSpec(
        sample_rate=44100,
        n_fft=2048,
        win_length=2048,
        hop_length=512,
        n_mels=128,
        fmax=22050.0,
        power_eps=1e-9,
    ),
    # The embedded set: 64 frames are 16,384 samples. A small dynamic range is what
    # lets a few minutes of training suffice: -60 dB below full scale is the floor.
    # The value range is one standard deviation (0.84) either side of the set's mean
    # (-4.30): most of a spectrogram is floor, and with the floor at -1 a VAE saw hardly
    # anything else (it explained 46 % of the variance where this way it explains
    # 89 % after the same steps).
    "tones_16k": AudioSpec(
        sample_rate=16000,
        n_fft=1024,
        win_length=1024,
        hop_length=256,
        n_mels=64,
        fmax=8000.0,
        floor=1e-2,
        value_low=-5.14,
        value_high=-3.46,
    ),
}
