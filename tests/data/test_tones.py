import hashlib
import itertools
import re

import numpy as np
import pytest

from diffusion_audio.data import tones
from diffusion_audio.errors import UserError

NOTE = {
    "instrument": "clarinet",
    "pitch": "A5",
    "envelope": "sustained",
    "direction": "steady",
    "loudness": "loud",
}


def note(**changes: str) -> np.ndarray:
    return tones.synthesize(NOTE | changes, seed=3)


def spectrum(wave: np.ndarray, start: float, stop: float) -> np.ndarray:
    piece = wave[int(start * 16_000) : int(stop * 16_000)]
    return np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 16_000))  # 1 Hz a bin


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave))))


def test_every_clip_is_short_finite_and_not_clipped() -> None:
    for clip in tones.plan("held_out")[::7]:
        wave = tones.synthesize(clip.attributes, clip.seed)
        assert wave.shape == (16_384,)
        assert wave.dtype == np.float32
        assert 0.01 < np.abs(wave).max() < 0.99


def test_same_seed_same_bytes_and_golden_hash() -> None:
    clips = tones.plan("train")[:: 3024 // 12]
    whole = hashlib.sha256()
    for clip in clips:
        whole.update(
            tones.quantize(tones.synthesize(clip.attributes, clip.seed)).tobytes()
        )
        whole.update(tones.caption(clip.attributes, clip.seed).encode())
    # Another hash means another data set: raise VERSION with it.
    assert tones.VERSION == "1.0.0"
    assert whole.hexdigest()[:16] == "291b1a0bba307e4f"


def test_seeds_vary_the_performance() -> None:
    assert not np.array_equal(tones.synthesize(NOTE, 1), tones.synthesize(NOTE, 2))


@pytest.mark.parametrize("pitch", tones.ATTRIBUTES["pitch"])
def test_pitch_is_where_the_name_says(pitch: str) -> None:
    found = spectrum(note(instrument="flute", pitch=pitch), 0.1, 0.9).argmax()
    assert abs(1200 * np.log2(found / tones.PITCH_HZ[pitch])) < 15


@pytest.mark.parametrize(
    ("direction", "semitones"), [("steady", 0), ("rising", 7), ("falling", -7)]
)
def test_direction_moves_the_pitch_by_a_fifth(direction: str, semitones: int) -> None:
    wave = note(instrument="flute", direction=direction)
    start, end = (spectrum(wave, *at).argmax() for at in ((0.03, 0.2), (0.8, 1.0)))
    assert 12 * np.log2(end / start) == pytest.approx(semitones, abs=0.3)


def test_instruments_have_the_partials_they_name() -> None:
    def strong(instrument: str) -> set[int]:
        bins = spectrum(note(instrument=instrument, pitch="C4"), 0.1, 0.9)
        ratios = np.flatnonzero(bins > 0.15 * bins.max()) / tones.PITCH_HZ["C4"]
        return {round(r) for r in ratios}

    assert strong("flute") == {1}
    assert strong("clarinet") >= {1, 3, 5, 7}
    assert not strong("clarinet") & {2, 4, 6}
    assert strong("organ") == {1, 2, 4, 8}
    assert strong("violin") >= {1, 2, 3, 4, 5, 6}
    assert not strong("buzzer") & {2, 3}
    assert strong("buzzer") >= {1, 4, 5, 20}


def test_bell_partials_are_not_harmonics() -> None:
    peaks = spectrum(note(instrument="bell", pitch="C4"), 0.1, 0.9)
    f0 = tones.PITCH_HZ["C4"]
    assert peaks[round(2.42 * f0)] > 20 * peaks[round(2.0 * f0)]


def test_loudness_values_are_14_db_apart() -> None:
    ratio = rms(note(loudness="loud")) / rms(note(loudness="soft"))
    assert 20 * np.log10(ratio) == pytest.approx(14, abs=0.3)


def test_envelopes_shape_the_level() -> None:
    def levels(envelope: str) -> np.ndarray:
        wave = note(envelope=envelope)
        return np.array([rms(part) for part in np.split(wave, 32)])

    plucked, swelling = levels("plucked"), levels("swelling")
    assert plucked[1:3].mean() > 5 * plucked[-4:].mean()
    assert swelling[-6:].mean() > 5 * swelling[1:4].mean()
    sustained, pulsing = levels("sustained"), levels("pulsing")
    assert sustained[2:-2].min() > 0.8 * sustained.max()
    quiet = pulsing < 0.3 * pulsing.max()
    assert np.count_nonzero(np.diff(quiet.astype(int)) == -1) == 4


def test_partials_do_not_fold_back_below_nyquist() -> None:
    bins = spectrum(note(instrument="clarinet", pitch="C6", direction="rising"), 0.8, 1)
    between = bins[round(1568 * 1.3) : round(1568 * 2.7)]
    assert between.max() < 0.01 * bins.max()


def test_captions_name_each_attribute_and_no_rival() -> None:
    def found(text: str, words: tuple[str, ...]) -> bool:
        return any(re.search(rf"(?<![\w-]){re.escape(w)}(?!\w)", text) for w in words)

    said: set[str] = set()
    for clip in tones.plan("train")[::5]:
        text = tones.caption(clip.attributes, clip.seed)
        said.add(text)
        for name, values in tones.ATTRIBUTES.items():
            named = {
                value
                for value in values
                if found(text, tones._WORDS[name][value])
                or (name == "envelope" and found(text, tones._CLAUSES[value]))
            }
            assert named == {clip.attributes[name]}, text
    assert len(said) > 580  # of 605: the wording varies


def test_held_out_triples_are_unseen_but_their_pairs_are_not() -> None:
    names = ("instrument", "pitch", "envelope")

    def triples(split: str) -> set[tuple[str, ...]]:
        return {tuple(c.attributes[n] for n in names) for c in tones.plan(split)}

    train = triples("train")
    assert triples("held_out") == set(tones.HELD_OUT)
    assert not train & set(tones.HELD_OUT)
    assert triples("validation") == train
    for first, second in itertools.combinations(range(3), 2):
        pairs = {(t[first], t[second]) for t in train}
        everything = itertools.product(
            tones.ATTRIBUTES[names[first]], tones.ATTRIBUTES[names[second]]
        )
        assert pairs == set(everything)


def test_splits_never_share_a_seed_and_are_balanced() -> None:
    seeds = [c.seed for s in ("train", "validation", "held_out") for c in tones.plan(s)]
    assert len(seeds) == len(set(seeds)) == 3024 + 336 + 288
    for name, values in tones.ATTRIBUTES.items():
        counts = [
            sum(c.attributes[name] == v for c in tones.plan("train")) for v in values
        ]
        assert max(counts) < 1.2 * min(counts)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (NOTE | {"instrument": "flut"}, "unknown instrument 'flut'; did you mean"),
        ({"instrument": "flute"}, "a tone has the attributes"),
    ],
)
def test_wrong_attributes_are_named(attributes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tones.synthesize(attributes, 0)
    with pytest.raises(UserError, match=message):
        tones.caption(attributes, 0)


def test_unknown_split_is_named() -> None:
    with pytest.raises(UserError, match="unknown split of tones 'test'"):
        tones.plan("test")
