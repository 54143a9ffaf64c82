"""Configs of others: what they say, what they leave open, what is asked then."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.pretrained import hifigan, hifigan_config, published
from diffusion_audio.pretrained.hifigan_config import audio_spec, generator_config
from tests.networks import random_params

SPEECHT5 = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 32,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
    "leaky_relu_slope": 0.1,
    "normalize_before": False,
}
ORIGINAL = {
    "resblock": 2,
    "num_mels": 80,
    "upsample_initial_channel": 16,
    "upsample_rates": [8, 5, 4],
    "upsample_kernel_sizes": [16, 10, 8],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 2]],
    "sampling_rate": 16000,
    "n_fft": 640,
    "win_size": 640,
    "hop_size": 160,
    "fmin": None,
    "fmax": None,
}


def test_a_speecht5_folder_needs_the_audio_that_it_does_not_say(tmp_path):
    cfg = generator_config(SPEECHT5, "config.json")
    cfg = dataclasses.replace(cfg, weight_norm=False)
    params = random_params(build_hifigan(cfg))
    arrays = hifigan.export_generator(cfg, params)
    arrays = {name.replace("ups.", "upsampler."): a for name, a in arrays.items()}
    arrays |= {"mean": np.zeros(64, "f4"), "scale": np.ones(64, "f4")}
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SPEECHT5))
    with pytest.raises(UserError, match=r"give --audio=audioldm_16k, with"):
        published.read(tmp_path)
    with pytest.raises(UserError, match="sample_rate 22050 != 16000"):
        published.read(tmp_path, "hifigan_22k")
    found = published.read(tmp_path, "audioldm_16k,fmax=7600")
    assert found.config["audio"] == PRESETS["audioldm_16k"].to_dict() | {"fmax": 7600.0}
    jax.tree.map(np.testing.assert_array_equal, found.params["vocoder"], params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalize_before": True}, "asks for normalize_before"),
        ({"leaky_relu_slope": 0.2}, "leaky_relu_slope 0.2"),
        ({"leaky_relu_slope": "x"}, "leaky_relu_slope 'x'"),
        ({"upsample_rates": 7}, "upsample_rates is or has '7', expected a list"),
        ({"upsample_rates": "54222"}, "wrong type"),
        ({"upsample_rates": [5, 4, 2, 2, 2.0]}, "wrong type"),
        ({"upsample_rates": [5, 4, 2, 2, 0]}, "wrong type"),
        ({"upsample_rates": []}, "wrong type"),
        ({"resblock_dilation_sizes": [1]}, "wrong type"),
        ({"resblock_kernel_sizes": [3] * 65}, "wrong type"),
        ({"upsample_initial_channel": 1 << 40}, "wrong type"),
        ({"model_in_dim": True}, "wrong type"),
        ({"upsample_rates": [5, 4]}, "differ in number"),
        ({"resblock": 3}, "unknown resblock"),
        ({"activation": "snakebeta"}, "asks for activation 'snakebeta'"),
        ({"snake_logscale": False}, "asks for snake_logscale"),
        ({"use_tanh_at_final": False}, "asks for use_tanh_at_final"),
        ({"use_bias_at_final": False}, "asks for use_bias_at_final"),
        ({"gin_channels": 256}, "asks for gin_channels"),
        ({"gen_istft_n_fft": 16}, "asks for gen_istft_n_fft"),
    ],
)
def test_configs_that_ask_for_another_model_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        generator_config(SPEECHT5 | change, "config.json")


def test_a_config_of_something_else_is_refused():
    with pytest.raises(UserError, match="lacks channels, dilations"):
        generator_config({"num_mels": 80}, "config.json")


def test_where_an_odd_stage_cuts_is_asked():
    message = r"kernel 10, rate 5\).*--cut=end .*--cut=start"
    with pytest.raises(UserError, match=message):
        generator_config(ORIGINAL, "config.json")
    for cut in ("start", "end"):
        assert generator_config(ORIGINAL, "config.json", cut).cut == cut


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        ({"upsample_kernel_sizes": [16, 11, 8]}, "end"),  # none is odd
        (
            {
                "upsample_rates": [6, 5, 4, 2, 2],
                "upsample_kernel_sizes": [12, 10, 8, 4, 4],
                "upsample_initial_channel": 32,
            },
            "start",  # AudioLDM at 48 kHz
        ),
        (
            {
                "upsample_rates": [5, 4, 2, 2, 2],
                "upsample_kernel_sizes": [16, 16, 8, 4, 4],
                "upsample_initial_channel": 32,
            },
            "end",  # AudioLDM at 16 kHz
        ),
        ({"model_in_dim": 80}, "end"),  # transformers pads as HiFi-GAN does
    ],
)
def test_where_it_is_known_nothing_is_asked(change, cut):
    assert generator_config(ORIGINAL | change, "config.json").cut == cut


def test_what_a_config_does_not_say_of_its_mels_is_assumed_and_told():
    spec, assumed = audio_spec(ORIGINAL, 160, None, "config.json")
    assert (spec.fmin, spec.fmax, spec.n_mels, spec.hop_length) == (0, 8000, 80, 160)
    assert assumed == (
        *("mel_scale=slaney", "mel_norm=slaney", "log=ln", "floor=1e-05"),
        *("power_eps=1e-09", "framing=hifigan"),
    )
    spec, assumed = audio_spec(ORIGINAL, 160, "log=log10,floor=1e-10", "config.json")
    assert (spec.log, spec.floor, spec.n_fft) == ("log10", 1e-10, 640)
    assert assumed == (
        *("mel_scale=slaney", "mel_norm=slaney"),
        *("power_eps=1e-09", "framing=hifigan"),
    )
    spec, assumed = audio_spec(
        ORIGINAL | {"center": True, "log_base": 10, "fmax": 7600},
        160,
        None,
        "config.json",
    )
    assert (spec.framing, spec.log, spec.fmax) == ("centre", "log10", 7600)
    assert "framing=centre" not in assumed


@pytest.mark.parametrize(
    ("change", "audio", "message"),
    [
        ({"hop_size": 256}, None, "hop_size is 256, and its upsample_rates make 160"),
        ({"n_fft": "640"}, None, "has n_fft '640'; expected a number"),
        ({"window": "hamming"}, None, "asks for window 'hamming'"),
        ({"power": 2}, None, "asks for power '2'"),
        ({"log_base": 2}, None, "asks for log_base '2'"),
        ({"preemphasis": 0.97}, None, "asks for preemphasis '0.97'"),
        ({}, "n_fft=1024", "n_fft 1024 != 640"),
        ({}, "audioldm_16k", "n_mels 64 != 80"),
        ({}, "nothing", "unknown audio preset"),
        ({}, "lag=log10", "unknown audio spec field"),
        ({}, "log=log2", "unknown audio spec log"),
        ({}, "floor=low", "must be a number"),
    ],
)
def test_what_contradicts_a_config_is_refused(change, audio, message):
    with pytest.raises(UserError, match=message):
        audio_spec(ORIGINAL | change, 160, audio, "config.json")


def test_a_vocoder_is_told_from_other_configs():
    assert hifigan_config.is_vocoder(SPEECHT5)
    assert not hifigan_config.is_vocoder({"_class_name": "AutoencoderKL"})
