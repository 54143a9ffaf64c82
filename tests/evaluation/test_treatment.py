import numpy as np
import pytest
import soundfile
import soxr

from diffusion_audio.audio.sinc import Sinc, resample
from diffusion_audio.evaluation.treatment import Treatment, Windows


@pytest.fixture
def sound():
    """[1000, 2] at 8 kHz, of different channels and means."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(1000, 2)) * 0.1 + [0.1, 0.3]).astype(np.float32)


def only(treatment, sound, to=8000):
    (part,) = treatment.parts(sound, 8000, to)
    return part


def test_channels_and_mean(sound):
    np.testing.assert_allclose(only(Treatment(), sound), sound.mean(1))
    first = only(Treatment(channels="first", centred=True), sound)
    np.testing.assert_allclose(first, sound[:, 0] - sound[:, 0].mean(), atol=1e-6)


def test_resampler(sound):
    wave = sound.mean(1)
    np.testing.assert_allclose(
        only(Treatment(), sound, 16000), soxr.resample(wave, 8000, 16000, quality="HQ")
    )
    sinc = Sinc(width=8)
    np.testing.assert_allclose(
        only(Treatment(resampler=sinc), sound, 16000),
        resample(wave, 8000, 16000, sinc),
    )
    by_way_of = Treatment(through=12000, resampler=sinc)
    twice = resample(resample(wave, 8000, 12000, sinc), 12000, 16000, sinc)
    np.testing.assert_allclose(only(by_way_of, sound, 16000), twice)


def test_peak_and_rounding(sound, tmp_path):
    loud = only(Treatment(peak=-1.0), sound)
    assert np.abs(loud).max() == pytest.approx(10 ** (-1 / 20))
    assert not only(Treatment(peak=-1.0), np.zeros((9, 1), np.float32)).any()
    wave = sound.mean(1)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="PCM_16")
    stored, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    as_file = only(Treatment(pcm=("file",)), sound)
    np.testing.assert_array_equal(as_file, stored / np.float32(32768))
    as_clap = only(Treatment(pcm=("clap",)), 8 * sound)
    expected = (np.clip(8 * wave, -1, 1) * 32767).astype(np.int16) / 32767
    np.testing.assert_allclose(as_clap, expected, atol=1e-7)


def test_length(sound):
    assert len(only(Treatment(seconds=0.1), sound)) == 800
    longer = only(Treatment(least=0.25), sound)
    np.testing.assert_array_equal(longer[:1000], sound.mean(1))
    assert len(longer) == 2000
    assert not longer[1000:].any()


@pytest.mark.parametrize(
    ("starts", "seconds", "begin"),
    [
        ("first", 0.35, [0]),
        ("whole", 0.35, [0, 400, 800, 1200]),
        ("whole", 0.05, [0]),
        ("hop", 0.35, [0, 400, 800, 1200, 1600, 2000]),
        ("hop", 0.3, [0, 400, 800, 1200, 1600]),
        ("every", 0.3, [0, 400, 800, 1200, 1600, 2000]),
    ],
)
def test_windows(starts, seconds, begin):
    """Of 0.2 s every 0.05 s."""
    count = round(seconds * 8000)
    ramp = np.arange(1.0, count + 1, dtype=np.float32)
    windows = Windows(0.2, 0.05, starts)
    parts = Treatment(windows=windows).parts(ramp[:, None], 8000, 8000)
    expected = np.zeros((len(begin), 1600))
    for row, start in zip(expected, begin, strict=True):
        part = ramp[start : start + 1600]
        row[: len(part)] = part
    np.testing.assert_array_equal(parts, expected)


def test_short_ones_are_repeated(sound):
    windows = Windows(0.4, 0.4, fill="repeat")
    part = only(Treatment(windows=windows), sound)
    wave = sound.mean(1)
    np.testing.assert_array_equal(part, [*wave, *wave, *wave, *np.zeros(200)])
