"""What can be a log-mel: all that a waveform gives, and not other scales."""

import numpy as np
import pytest

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.mel_range import (
    log_ceiling,
    log_floor,
    require_log_mel,
    value_range,
)
from diffusion_audio.audio.spec import PRESETS

SPEC = PRESETS["hifigan_22k"]


def test_every_waveform_lies_between_floor_and_ceiling():
    t = np.arange(8192) / SPEC.sample_rate
    for wave in (np.zeros(8192), np.sign(np.sin(2 * np.pi * 200 * t)), np.ones(8192)):
        low, high = value_range(np.asarray(log_mel(SPEC, wave.astype(np.float32))))
        assert log_floor(SPEC) - 1e-3 <= low <= high <= log_ceiling(SPEC)


def test_the_range_is_of_all_frames_and_of_nan():
    mel = np.arange(20.0).reshape(10, 2)
    assert value_range(mel, frames=3) == (0, 19)
    mel[4, 1] = np.nan
    assert np.isnan(value_range(mel, frames=3)).all()


def test_a_log_mel_passes_without_a_word():
    assert require_log_mel("a.npy", SPEC, -11.5, 1.2) == ""
    assert require_log_mel("a.npy", SPEC, -12.5, 2.0) == ""  # a model's overshoots


@pytest.mark.parametrize(
    ("low", "high", "guess"),
    [
        (0.0, 1.0, "before the logarithm"),  # magnitudes, or scaled to 0..1
        (1e-5, 3.2, "before the logarithm"),
        (-100.0, 0.0, "decibels"),
        (-80.0, 12.0, "decibels"),
        (-3.0, 20.0, "decibels"),
    ],
)
def test_other_scales_are_refused(low, high, guess):
    with pytest.raises(AudioFileError, match=guess) as caught:
        require_log_mel("a.npy", SPEC, low, high)
    assert caught.value.kind == "range"


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-4.0, 4.0), (-5.0, 0.5)])
def test_what_could_be_another_scale_is_doubted(low, high):
    assert "nowhere near silence" in require_log_mel("a.npy", SPEC, low, high)
