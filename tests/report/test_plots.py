import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from diffusion_audio.report.plots import Line, curve, forest, spectrograms


def pixels(image):
    content = base64.b64decode(image.uri.split(",")[1])
    return imread(io.BytesIO(content), format="webp")[..., :3].astype(int).sum(-1)


def sine(hertz, rate, seconds=1.0, level=0.5):
    time = np.arange(int(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_sine_lies_at_its_tick(rate):
    kilohertz = [0.5, 1, 2, 4]
    images = spectrograms([sine(1000 * f, rate) for f in kilohertz], rate)
    for image, f in zip(images, kilohertz, strict=True):
        brightest = pixels(image).sum(1).argmax()
        at = {tick.label: tick.at for tick in image.kilohertz}[f"{f:g}"]
        height = len(pixels(image))
        assert abs((1 - at) * height - (brightest + 0.5)) < 1.5


def test_time_runs_to_the_right_and_has_its_ticks():
    wave = np.concatenate([np.zeros(12000, np.float32), sine(1000, 16000, 0.25)])
    (image,) = spectrograms([wave], 16000)
    loud = pixels(image).sum(0)
    width = len(loud)
    assert loud[: int(0.7 * width)].max() < loud[int(0.8 * width) :].min()
    assert [tick.label for tick in image.seconds] == ["0", "0.5", "1"]
    assert [tick.at for tick in image.seconds] == [0.0, 0.5, 1.0]


def test_loud_and_soft_share_a_scale():
    loud, soft = spectrograms([sine(1000, 16000), sine(1000, 16000, level=0.05)], 16000)
    assert pixels(loud).max() > pixels(soft).max() + 50


@pytest.mark.parametrize("samples", [1, 100, 1599, 1601])
def test_any_length_has_a_spectrogram(samples):
    wave = np.full(samples, np.nan, np.float32)
    (image,) = spectrograms([wave], 16000)
    assert pixels(image).shape[1] == 1 + samples // 64


@pytest.mark.parametrize("rate", [4000, 11025, 192000])
def test_any_rate_has_a_spectrogram(rate):
    """No mel band of the image is without a Fourier bin."""
    (image,) = spectrograms([np.zeros(rate // 4, np.float32)], rate)
    assert all(0 < tick.at <= 1 for tick in image.kilohertz)


def test_a_long_sound_has_a_spectrogram_of_bounded_width_and_the_same_axes():
    (long,) = spectrograms([sine(1000, 8000, 70)], 8000)
    (short,) = spectrograms([sine(1000, 8000)], 8000)
    assert 3000 < pixels(long).shape[1] <= 4097
    assert long.kilohertz == short.kilohertz
    brightest = [pixels(image).sum(1).argmax() for image in (long, short)]
    assert brightest[0] == brightest[1]


def test_no_waves_no_spectrograms():
    assert spectrograms([], 16000) == []


def rows(values, split="train", metric="loss"):
    return [
        {"step": 10 * i, "split": split, metric: v} for i, v in enumerate(values, 1)
    ]


def test_a_curve_says_what_it_shows():
    svg = curve([*rows([3.0, 2.0]), *rows([2.5], "eval")], "loss")
    assert (
        'aria-label="loss: train from 3 to 2 at step 20; '
        'eval from 2.5 to 2.5 at step 10"' in svg
    )
    assert "var(--train)" in svg
    assert "var(--eval)" in svg
    assert "#0" not in svg.replace('"#m', "")
    assert "font:" not in svg
    assert "http" not in svg


def test_a_metric_that_is_absent_or_never_finite_has_no_curve():
    assert curve(rows([1.0]), "other") is None
    assert curve(rows([np.nan, np.inf]), "loss") is None
    assert "to 2 at step 30" in curve(rows([1.0, np.nan, 2.0]), "loss")


def test_a_metric_of_evaluations_only_has_a_curve():
    assert "eval from 2.5" in curve(rows([2.5], "eval"), "loss")


def test_wide_ranges_are_logarithmic():
    assert "$" in curve(rows([100.0, 1.0, 0.1]), "loss")
    assert "$" not in curve(rows([-1.0, 100.0, 0.1]), "loss")


def test_long_runs_are_smoothed_and_short_ones_are_not():
    long, short = rows(np.ones(500)), rows(np.ones(20))
    assert curve(long, "loss").count("var(--train)") == 2
    assert curve(short, "loss").count("var(--train)") == 1


def test_names_are_cut_only_while_they_differ():
    line = Line(-1.0, 1.0, np.zeros(3))
    alike = ("epsilon, min-SNR gamma 1", "epsilon, min-SNR gamma 5")
    text = forest(dict.fromkeys(alike, line), "differences")
    assert all(name in text for name in alike)
    text = forest({alike[0]: line, "epsilon": line}, "differences")
    assert alike[0] not in text
    assert "epsilon, min-SNR gamm…" in text
