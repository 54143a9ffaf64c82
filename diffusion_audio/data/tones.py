"""Tones: a language of small sounds whose captions can be checked by measuring.

A clip is one note of 16384 samples at 16 kHz. Five attributes decide how it sounds,
a seed adds what differs from one performance to the next, and a caption names every
attribute. Only NumPy is needed here; ``tones_tfds`` stores the clips as a TFDS set.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from diffusion_audio.errors import UserError, unknown

SAMPLE_RATE = 16_000
SAMPLES = 16_384
GLIDE_SEMITONES = 7.0
LOUDNESS_RMS = {"soft": 0.035, "loud": 0.175}  # 14 dB apart, at the envelope's peak
VERSION = "1.0.0"
SPLITS = {"train": 18, "validation": 2, "held_out": 12}  # clips of each triple

# Stacked thirds: every pitch is at least a minor third from the next, which at the
# low end is more than one mel band of 46 Hz.
PITCH_HZ = {
    name: 440.0 * 2.0 ** ((midi - 69) / 12)
    for name, midi in zip(
        ("C4", "E4", "G4", "B4", "D5", "F5", "A5", "C6"),
        (60, 64, 67, 71, 74, 77, 81, 84),
        strict=True,
    )
}

# (frequency over fundamental, amplitude); recipes differ in kind, not in degree.
PARTIALS: dict[str, tuple[tuple[float, float], ...]] = {
    "flute": ((1.0, 1.0), (2.0, 0.05)),
    "clarinet": tuple((float(k), k**-0.5) for k in range(1, 16, 2)),
    "organ": ((1.0, 1.0), (2.0, 0.9), (4.0, 0.8), (8.0, 0.6)),
    "violin": tuple((float(k), k**-0.8) for k in range(1, 13)),
    "bell": ((1.0, 1.0), (2.42, 0.7), (4.53, 0.5), (6.61, 0.35)),
    "buzzer": ((1.0, 2.0), *((float(k), 1.0) for k in range(4, 44))),
}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "instrument": tuple(PARTIALS),
    "pitch": tuple(PITCH_HZ),
    "envelope": ("plucked", "swelling", "sustained", "pulsing"),
    "direction": ("steady", "rising", "falling"),
    "loudness": tuple(LOUDNESS_RMS),
}

# One pitch for each (instrument, envelope). Every pair of values still occurs with
# the third value free, so training sees each pair, never these triples.
HELD_OUT: tuple[tuple[str, str, str], ...] = tuple(
    (instrument, ATTRIBUTES["pitch"][(i + 2 * e) % 8], envelope)
    for i, instrument in enumerate(ATTRIBUTES["instrument"])
    for e, envelope in enumerate(ATTRIBUTES["envelope"])
)

_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "instrument": {
        "flute": ("flute", "wooden flute"),
        "clarinet": ("clarinet", "reedy clarinet"),
        "organ": ("organ", "pipe organ"),
        "violin": ("violin", "fiddle"),
        "bell": ("bell", "chime"),
        "buzzer": ("buzzer", "buzzing synth"),
    },
    "pitch": {name: (name,) for name in PITCH_HZ},
    "envelope": {
        "plucked": ("plucked", "percussive", "decaying"),
        "swelling": ("swelling", "growing", "building"),
        "sustained": ("sustained", "held", "even"),
        "pulsing": ("pulsing", "throbbing", "repeating"),
    },
    "direction": {
        "steady": ("staying on pitch", "without gliding", "steady in pitch"),
        "rising": ("gliding upwards", "rising in pitch", "sliding up"),
        "falling": ("gliding downwards", "falling in pitch", "sliding down"),
    },
    "loudness": {
        "soft": ("soft", "quiet", "gentle"),
        "loud": ("loud", "strong", "powerful"),
    },
}

# The same envelope values, said after the noun: "that fades in".
_CLAUSES: dict[str, tuple[str, ...]] = {
    "plucked": ("that dies away", "that is struck and rings out"),
    "swelling": ("that fades in", "that swells"),
    "sustained": ("that holds its level", "that is held"),
    "pulsing": ("that pulses", "that throbs"),
}

_TEMPLATES: tuple[str, ...] = (
    "a {loudness} {envelope} {instrument} note at {pitch}, {direction}",
    "a {loudness} {instrument} note at {pitch} {clause}, {direction}",
    "a {envelope} {instrument} at {pitch}, {loudness}, {direction}",
    "{instrument} on {pitch}, {loudness} and {envelope}, {direction}",
    "{envelope} {instrument} playing {pitch}, {loudness}, {direction}",
    "the note {pitch} on a {loudness} {instrument}, {envelope}, {direction}",
    "{direction} from {pitch}, a {loudness} {instrument} {clause}",
    "{loudness} {instrument}, starting at {pitch}, {direction}, {envelope}",
    "{pitch}, {envelope}, {direction}: a {loudness} {instrument}",
    "a {loudness} sound of {instrument} {clause}, {pitch}, {direction}",
)


@dataclasses.dataclass(frozen=True)
class Planned:
    """One clip of the set before it sounds: its name, attributes and seed."""

    name: str
    attributes: dict[str, str]
    seed: int


def plan(split: str) -> list[Planned]:
    """What a split holds: ``train`` 3024, ``validation`` 336, ``held_out`` 288 clips.

    Training has every (direction, loudness) three times for each (instrument, pitch,
    envelope) outside ``HELD_OUT``, validation two other performances of each, and
    held_out every (direction, loudness) twice for each triple of ``HELD_OUT``.
    """
    if split not in SPLITS:
        raise unknown("split of tones", split, SPLITS)
    endings = [(d, v) for d in ATTRIBUTES["direction"] for v in ATTRIBUTES["loudness"]]
    triples = [
        (i, p, e)
        for i in ATTRIBUTES["instrument"]
        for p in ATTRIBUTES["pitch"]
        for e in ATTRIBUTES["envelope"]
        if ((i, p, e) in HELD_OUT) == (split == "held_out")
    ]
    # Seeds of different splits never meet: validation repeats nothing of training.
    first = 1_000_000 * list(SPLITS).index(split)
    return [
        Planned(
            name=f"{split}-{number:05d}",
            attributes=dict(
                zip(ATTRIBUTES, (*triple, *endings[number % 6]), strict=True)
            ),
            seed=first + number,
        )
        for number, triple in enumerate(
            t for t in triples for _ in range(SPLITS[split])
        )
    ]


def synthesize(attributes: Mapping[str, str], seed: int) -> np.ndarray:
    """Play one clip, float32 [N] within [-1, 1], N = ``SAMPLES``.

    The seed varies phases, tuning (8 cents), level (1 dB), onset (20 ms), tempo
    (8 %) and a noise 60 dB below full scale; the same seed gives the same samples.

    Args:
        attributes: one value for each of ``ATTRIBUTES``.
        seed: which performance, non-negative.
    """
    _require(attributes)
    rng = _Random(seed, 0)
    ratios, amplitudes = np.array(PARTIALS[attributes["instrument"]]).T  # [P], [P]

    seconds = np.arange(SAMPLES) / SAMPLE_RATE - rng.uniform(0.0, 0.02)
    tempo = rng.uniform(0.92, 1.08)
    fundamental = PITCH_HZ[attributes["pitch"]] * 2.0 ** (rng.uniform(-8, 8) / 1200)
    frequency = fundamental * _glide(attributes["direction"], seconds * tempo)  # [N]
    turns = np.cumsum(frequency) / SAMPLE_RATE
    phases = rng.uniform(0.0, 1.0, len(ratios))

    # One partial at a time: it stays in the cache, [P, N] at once does not.
    wave = np.zeros(SAMPLES)
    for ratio, amplitude, phase in zip(ratios, amplitudes, phases, strict=True):
        if ratio * frequency.min() > 7_800.0:
            continue
        partial = amplitude * np.sin(2 * np.pi * (ratio * turns + phase))
        if ratio * frequency.max() > 7_400.0:  # fades out where it would fold back
            partial *= np.clip((7_800.0 - ratio * frequency) / 400.0, 0.0, 1.0)
        wave += partial

    sounding = amplitudes * (ratios * fundamental < 7_600.0)
    level = LOUDNESS_RMS[attributes["loudness"]] * 10 ** (rng.uniform(-1, 1) / 20)
    wave *= level / np.sqrt(np.sum(sounding**2) / 2)
    wave *= _envelope(attributes["envelope"], seconds * tempo)
    wave += rng.uniform(-1e-3, 1e-3, SAMPLES)
    return np.clip(wave, -1.0, 1.0).astype(np.float32)


def caption(attributes: Mapping[str, str], seed: int) -> str:
    """Say all five attributes in one of many wordings, chosen by the seed.

    Example: "a soft clarinet note at C4 that fades in, gliding upwards".
    """
    _require(attributes)
    rng = _Random(seed, 1)
    template = rng.choice(_TEMPLATES)
    words = {name: rng.choice(_WORDS[name][attributes[name]]) for name in ATTRIBUTES}
    return template.format(clause=rng.choice(_CLAUSES[attributes["envelope"]]), **words)


def quantize(wave: np.ndarray) -> np.ndarray:
    """Float samples in [-1, 1] as int16, rounded; how the set stores them."""
    return np.round(wave.astype(np.float64) * 32767.0).astype(np.int16)


def _glide(direction: str, seconds: np.ndarray) -> np.ndarray:
    """Frequency over the named pitch [N]: held for 0.2 s, a glide, then held."""
    # The start is held so that the named pitch can be read even when a swelling
    # note is still soft, the end comes before a plucked one has died away.
    sign = {"steady": 0.0, "rising": 1.0, "falling": -1.0}[direction]
    along = np.clip((seconds - 0.2) / 0.5, 0.0, 1.0)
    return 2.0 ** (sign * GLIDE_SEMITONES * along / 12)


def _envelope(name: str, seconds: np.ndarray) -> np.ndarray:
    """Gain over time [N], at most 1; ``seconds`` may begin below zero."""
    after = np.maximum(seconds, 0.0)
    attack = {"plucked": 0.005, "swelling": 0.01, "sustained": 0.03, "pulsing": 0.01}
    gain = np.clip(after / attack[name], 0.0, 1.0)
    if name == "plucked":
        gain *= np.exp(-after / 0.28)
    elif name == "swelling":
        gain *= np.clip(after / 0.85, 0.0, 1.0) ** 1.5
    elif name == "pulsing":  # four pulses a clip, 30 dB deep
        gain *= 0.03 + 0.97 * (0.5 - 0.5 * np.cos(2 * np.pi * after / 0.256))
    end = np.arange(SAMPLES, 0, -1) / SAMPLE_RATE
    return gain * np.clip(end / 0.02, 0.0, 1.0)


def _require(attributes: Mapping[str, str]) -> None:
    if set(attributes) != set(ATTRIBUTES):
        raise UserError(
            f"a tone has the attributes {', '.join(ATTRIBUTES)}; "
            f"got {', '.join(attributes) or 'none'}"
        )
    for name, value in attributes.items():
        if value not in ATTRIBUTES[name]:
            raise unknown(name, value, ATTRIBUTES[name])


class _Random:
    """Draws from raw PCG64 bits, whose stream NumPy promises never to change."""

    def __init__(self, *address: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(address))

    def uniform(self, low: float, high: float, size: int = 1) -> np.ndarray:
        raw = self._bits.random_raw(size) >> np.uint64(11)
        return low + (high - low) * raw * 2.0**-53

    def choice(self, items: tuple[str, ...]) -> str:
        return items[int(self._bits.random_raw()) % len(items)]
