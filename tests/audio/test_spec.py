import dataclasses
import json
import math

import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import common
from diffusion_audio.audio.spec import PRESETS, AudioSpec
from diffusion_audio.errors import UserError

SPEC = PRESETS["hifigan_22k"]


def test_presets_are_the_published_front_ends():
    assert SPEC.to_dict() == {
        "sample_rate": 22050,
        "n_fft": 1024,
        "win_length": 1024,
        "hop_length": 256,
        "n_mels": 80,
        "fmin": 0.0,
        "fmax": 8000.0,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        "log": "ln",
        "floor": 1e-5,
        "power_eps": 1e-9,
        "framing": "hifigan",
        "value_low": None,
        "value_high": None,
    }
    auffusion = PRESETS["auffusion_16k"]
    assert auffusion.pad == 944
    assert (auffusion.value_low, auffusion.value_high) == pytest.approx(
        (-11.5129, 5.2983), abs=1e-4
    )
    # 10.24 s are 1024 frames in both published systems.
    for name in ("auffusion_16k", "audioldm_16k"):
        assert PRESETS[name].frames(163_840) == 1024
        assert PRESETS[name].samples(1024) == 163_840
    assert PRESETS["audioldm_16k"].pad == 432
    assert PRESETS["audioldm_16k"].power_eps == 0
    assert PRESETS["tones_16k"].samples(64) == 16_384


def test_hash_survives_json_and_follows_every_field():
    back = AudioSpec.from_dict(json.loads(json.dumps(SPEC.to_dict())))
    assert back == SPEC
    assert back.hash == SPEC.hash
    assert len(SPEC.hash) == 12
    changes = {
        "sample_rate": 24000,
        "n_fft": 2048,
        "win_length": 800,
        "hop_length": 200,
        "n_mels": 64,
        "fmin": 20.0,
        "fmax": 7600.0,
        "mel_scale": "htk",
        "mel_norm": "none",
        "log": "log10",
        "floor": 1e-4,
        "power_eps": 0.0,
        "framing": "centre",
    }
    others = [dataclasses.replace(SPEC, **{k: v}) for k, v in changes.items()]
    others.append(dataclasses.replace(SPEC, value_low=-11.0, value_high=2.0))
    others.append(dataclasses.replace(SPEC, value_low=-11.0, value_high=3.0))
    assert len({spec.hash for spec in [SPEC, *others]}) == len(others) + 1


def test_hash_is_a_contract():
    # Stored in checkpoints and caches: a change here orphans all of them.
    assert {name: spec.hash for name, spec in PRESETS.items()} == {
        "audioldm_16k": "26aaf4765e32",
        "audioldm_48k": "81e52de9610d",
        "auffusion_16k": "a89898cb092f",
        "bigvgan_24k": "1df6b2fe1773",
        "bigvgan_44k": "a65eb4d03961",
        "hifigan_22k": "c98390bf3fd5",
        "tones_16k": "30b53cc45045",
    }


def test_equal_meanings_are_equal_specs():
    spelt = AudioSpec(
        sample_rate=np.int64(16000), n_fft=1024.0, win_length=1024, hop_length=160,
        n_mels=64, fmin=0, fmax=None, floor=np.float64(1e-5),
    )  # fmt: skip
    assert spelt == PRESETS["audioldm_16k"]
    assert spelt.hash == PRESETS["audioldm_16k"].hash


def test_from_config():
    config = ConfigDict({"preset": "tones_16k", "n_mels": 32})
    spec = AudioSpec.from_config(config)
    assert spec == dataclasses.replace(PRESETS["tones_16k"], n_mels=32)
    assert "preset" in config
    assert AudioSpec.from_config(SPEC.to_dict()) == SPEC


def test_differences_name_fields():
    other = dataclasses.replace(SPEC, fmax=7600, n_mels=64)
    assert SPEC.differences(other) == ["n_mels: 80 != 64", "fmax: 8000.0 != 7600.0"]
    assert SPEC.differences(SPEC) == []
    SPEC.require_same(SPEC)
    with pytest.raises(UserError, match=r"vocoder and VAE .* fmax: 8000.0 != 7600.0"):
        SPEC.require_same(other, mine="vocoder", theirs="VAE")


def test_frames_and_samples_agree():
    for framing in ("hifigan", "centre"):
        spec = dataclasses.replace(SPEC, framing=framing)
        for frames in (1, 2, 77):
            samples = spec.samples(frames)
            assert spec.frames(samples) == frames
            assert spec.frames(samples + spec.hop_length - 1) == frames
            assert spec.frames(samples + spec.hop_length) == frames + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": "1024"}, "n_fft must be a number, got '1024'"),
        ({"n_fft": 1024.5}, "n_fft must be a whole number"),
        ({"n_mels": True}, "n_mels must be a number"),
        ({"floor": math.nan}, "floor must be a number"),
        ({"n_mels": 0}, "n_mels must be at least 1"),
        ({"win_length": 2048}, "win_length must be at most n_fft"),
        ({"hop_length": 1025}, "hop_length must be at most win_length"),
        ({"hop_length": 255}, "hop_length must be even when n_fft is even"),
        ({"fmin": 8000}, "fmin must be at least 0 and below fmax"),
        ({"fmax": 12000}, "fmax must be at most half the sample rate, got 12000"),
        ({"floor": 0}, "floor must be above 0"),
        ({"power_eps": -1e-9}, "power_eps must be at least 0"),
        ({"mel_scale": "slany"}, "mel_scale 'slany'; did you mean 'slaney'"),
        ({"framing": "center"}, "did you mean 'centre'"),
        ({"log": 10}, "unknown audio spec log 10"),
        ({"value_low": -5}, "value_low and value_high must be two rising numbers"),
        ({"value_low": 2, "value_high": 1}, "two rising numbers .* got 2.0 and 1.0"),
        ({"hops": 3}, "unknown audio spec field 'hops'"),
        ({"preset": "tones"}, "unknown audio preset 'tones'; did you mean 'tones_16k"),
    ],
)
def test_bad_fields_are_one_clear_line(change, message):
    with pytest.raises(UserError, match=message) as caught:
        AudioSpec.from_config({"preset": "hifigan_22k"} | change)
    assert "\n" not in str(caught.value)


def test_a_preset_and_fields_in_a_line():
    """As `convert --audio=` and ``config.audio.preset`` take them."""
    assert AudioSpec.parse("hifigan_22k") == SPEC
    changed = dataclasses.replace(SPEC, fmin=30, fmax=None, hop_length=512)
    assert AudioSpec.parse("hifigan_22k, fmin=30,fmax=none,hop_length=512") == changed
    assert AudioSpec.parse("hifigan_22k,log=log10,floor=1e-3") == dataclasses.replace(
        SPEC, log="log10", floor=1e-3
    )
    plain = AudioSpec.parse("hifigan_22k,mel_norm=none")  # a name, and not no value
    assert plain == dataclasses.replace(SPEC, mel_norm="none")
    unscaled = AudioSpec.parse("tones_16k,value_low=none,value_high=none")
    assert unscaled.value_low is unscaled.value_high is None
    every = ",".join(f"{name}={value}" for name, value in SPEC.to_dict().items())
    assert AudioSpec.parse(every) == SPEC
    assert AudioSpec.from_config({"preset": "hifigan_22k,fmin=30"}).fmin == 30
    both = {"preset": "hifigan_22k,fmin=30", "fmin": 20, "fmax": None}
    assert AudioSpec.from_config(both) == dataclasses.replace(SPEC, fmin=20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hifigan", "unknown audio preset 'hifigan'; did you mean 'hifigan_22k'"),
        ("hifigan_22k,fmx=3", "audio spec field 'fmx'; did you mean 'fmax'"),
        ("hifigan_22k,fmax", "expected FIELD=VALUE .*, got 'fmax'"),
        ("hifigan_22k,fmax=", "expected FIELD=VALUE"),
        ("hifigan_22k,", "expected FIELD=VALUE"),
        ("hifigan_22k,fmax=high", "fmax must be a number, got 'high'"),
        ("hifigan_22k,n_mels=80.5", "n_mels must be a whole number, got 80.5"),
        ("hifigan_22k,n_mels=none", "n_mels must be a number, got None"),
        ("hifigan_22k,fmax=inf", "fmax must be a number, got inf"),
        ("hifigan_22k,fmin=1,fmin=2", "gives fmin twice"),
        ("n_mels=80", "audio spec lacks sample_rate, n_fft, win_length, hop_length"),
        ("", "unknown audio preset ''"),
    ],
)
def test_a_bad_line_is_one_clear_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        AudioSpec.parse(text)
    assert "\n" not in str(caught.value)


def test_every_field_of_a_recipe_can_be_set():
    """Each by its flag, of its type; what is not set is as the preset has it."""
    assert list(common.AUDIO_FIELDS) == [f.name for f in dataclasses.fields(AudioSpec)]
    other = PRESETS["bigvgan_44k"].to_dict()
    other |= {"fmin": 7, "mel_scale": "htk", "mel_norm": "none", "log": "log10"}
    other |= {"framing": "centre", "value_low": -3, "value_high": 4.5}
    config = common.base("vae", audio="hifigan_22k")
    assert AudioSpec.from_config(config.audio) == SPEC
    values = flags.FlagValues()
    words = [f"--config.audio.{name}={value}" for name, value in other.items()]
    config_flags.DEFINE_config_dict(
        "config", config, flag_values=values, sys_argv=["test", *words]
    )
    values(["test", *words])
    assert AudioSpec.from_config(values.config.audio) == AudioSpec.from_dict(other)
    again = common.base("vae", audio="hifigan_22k")
    assert AudioSpec.from_config(again.audio) == SPEC  # nothing is shared


def test_missing_fields_are_named():
    with pytest.raises(UserError, match="lacks win_length, hop_length, n_mels"):
        AudioSpec.from_config({"sample_rate": 16000, "n_fft": 512})
