import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan, margin
from diffusion_audio.nn.conv1d import remove_weight_norm
from diffusion_audio.nn.functional import abstract_params, count
from tests.networks import normal, random_params

TINY = HiFiGANConfig(
    n_mels=5,
    channels=16,
    rates=(4, 2),
    kernels=(8, 4),
    resblock_kernels=(3, 5),
    dilations=((1,), (2,)),
)
AUDIOLDM = {"channels": 1024, "rates": (5, 4, 2, 2, 2), "kernels": (16, 16, 8, 4, 4)}


@functools.cache
def network(**options):
    """A tiny generator's apply, compiled, and parameters."""
    net = build_hifigan(dataclasses.replace(TINY, **options))
    return jax.jit(net.apply), random_params(net)


def log_mel(batch, frames):
    return normal(batch, frames, TINY.n_mels, seed=1)


@pytest.mark.parametrize(
    ("expected", "settings"),
    [
        (13_926_017, {}),
        (925_985, {"channels": 128}),
        (
            1_462_273,
            {
                "channels": 256,
                "rates": (8, 8, 4),
                "kernels": (16, 16, 8),
                "resblock": "2",
                "resblock_kernels": (3, 5, 7),
                "dilations": [[1, 2], [2, 6], [3, 12]],
            },
        ),
        (55_264_897, {"n_mels": 64} | AUDIOLDM),
        (
            13_672_065,
            {"n_mels": 256, "rates": (5, 4, 4, 2), "kernels": (11, 8, 8, 4)},
        ),
        (
            190_281_889,
            {
                "n_mels": 256,
                "channels": 1536,
                "rates": (6, 5, 4, 2, 2),
                "kernels": (12, 10, 8, 4, 4),
                "resblock_kernels": (3, 7, 11, 15),
                "dilations": ((1, 3, 5),) * 4,
            },
        ),
        (13_254_034, {"rates": (8, 8), "kernels": (16, 16), "istft_n_fft": 16}),
    ],
    ids=["v1", "v2", "v3", "audioldm_16k", "auffusion", "audioldm_48k", "istftnet"],
)
def test_published_parameter_counts(expected, settings):
    cfg = HiFiGANConfig(**settings, weight_norm=False)
    assert count(abstract_params(build_hifigan(cfg))) == expected


@pytest.mark.parametrize(
    ("rates", "kernels"), [((8, 2), (16, 4)), ((5, 4), (16, 16)), ((5, 2), (16, 5))]
)
def test_length_is_frames_times_hop_also_for_odd_width_minus_rate(rates, kernels):
    cfg = dataclasses.replace(TINY, rates=rates, kernels=kernels)
    net = build_hifigan(cfg)
    wave = jax.eval_shape(net.apply, abstract_params(net), jnp.zeros((2, 7, 5)))
    assert wave.shape == (2, 7 * cfg.hop_length)
    assert wave.dtype == jnp.float32


def test_mels_of_another_spec_are_refused():
    net = build_hifigan(TINY)
    with pytest.raises(UserError, match=r"takes log-mels \[B, T, 5\], not \[2, 7, 6\]"):
        net.apply(random_params(net), normal(2, 7, 6))


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_parameters_without_weight_norm_compute_the_same(resblock):
    apply, params = network(resblock=resblock)
    plain = jax.jit(remove_weight_norm)(params)
    cfg = dataclasses.replace(TINY, resblock=resblock, weight_norm=False)
    inference = build_hifigan(cfg)
    assert jax.tree.structure(plain) == jax.tree.structure(abstract_params(inference))
    mel = log_mel(2, 6)
    wave = apply(params, mel)
    np.testing.assert_allclose(jax.jit(inference.apply)(plain, mel), wave, atol=1e-5)
    assert float(jnp.std(wave)) > 0


def test_slope_before_the_last_convolution_is_pytorchs_default():
    apply, params = network(weight_norm=False)
    params = jax.tree.map(np.zeros_like, params)
    params["upsamplers"]["1"]["bias"] -= 1.0  # all that reaches the last layer
    params["conv_post"]["kernel"] += 1.0
    wave = apply(params, np.zeros((2, 6, 5), np.float32))
    channels, width = 4, 7
    np.testing.assert_allclose(wave[0, 16], np.tanh(-0.01 * channels * width), 1e-5)


def test_bfloat16_stays_near_float32():
    single, params = network(resblock="2")
    half, _ = network(resblock="2", dtype="bfloat16")
    mel = log_mel(2, 6)
    exact, wave = single(params, mel), half(params, mel)
    assert wave.dtype == jnp.float32
    assert 0 < np.abs(wave - exact).max() < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resblock": "3"}, "unknown resblock '3'"),
        ({"rates": (4, 2, 2)}, "differ in number"),
        ({"kernels": (8, 1)}, "must not be below rates"),
        ({"resblock_kernels": (3, 4)}, "must be odd"),
        ({"dilations": ((1, 3),)}, "differ in number"),
        ({"channels": 18}, "multiple of 4, not 18"),
        ({"activation": "snak"}, "unknown activation 'snak'; did you mean 'snake'"),
        ({"istft_n_fft": 12}, "multiple of 8, or 0 for none, not 12"),
        ({"cut": "both"}, "unknown cut 'both'"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **change)


def test_a_preserving_start_hears_its_input_and_silence_is_zero():
    """The output's spread over inputs, which the reference's start all but loses."""
    tiny = {
        "n_mels": 8,
        "channels": 16,
        "rates": (4, 4),
        "kernels": (8, 8),
        "resblock_kernels": (3,),
        "dilations": ((1,),),
    }
    mel = -4.6 + jax.random.uniform(jax.random.key(1), (16, 4, 8), maxval=5.0)
    spread = {}
    for init in ("reference", "preserving"):
        net = build_hifigan(HiFiGANConfig(**tiny, init=init, input_shift=-4.6))
        apply, params = jax.jit(net.apply), net.init(jax.random.key(0))
        waves = apply(params, mel)
        spread[init] = np.asarray(waves).std(axis=0).mean()
    assert spread["preserving"] > 5 * spread["reference"]
    silence = apply(params, jnp.full((16, 4, 8), -4.6))
    np.testing.assert_allclose(silence, 0.0, atol=1e-6)
    with pytest.raises(UserError, match="unknown initialisation 'perserving'; did"):
        HiFiGANConfig(init="perserving")


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "snakebeta", "antialias": True},
        {"activation": "snake", "istft_n_fft": 16},
    ],
)
def test_every_option_keeps_length_and_reaches_every_parameter(options):
    cfg = dataclasses.replace(TINY, rates=(4,), kernels=(8,), **options)
    net = build_hifigan(cfg)
    mel = log_mel(2, 9)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradients(params):
        wave = net.apply(params, mel)
        return jnp.sum(wave**2), wave

    grads, wave = gradients(random_params(net))
    hop = 4 * (4 if cfg.istft_n_fft else 1)
    assert wave.shape == (2, 9 * hop) == (2, 9 * cfg.hop_length)
    assert all(np.any(gradient) for gradient in jax.tree.leaves(grads))


def test_spectra_of_a_head_become_their_waveform():
    """A constant phase and magnitude in one bin is a cosine in every frame."""
    apply, params = network(weight_norm=False, istft_n_fft=16)
    params = jax.tree.map(np.zeros_like, params)
    bias = jnp.full(18, -100.0).at[9:].set(0.0).at[4].set(jnp.log(8.0))
    params["conv_post"]["bias"] = bias
    wave = apply(params, np.zeros((1, 4, 5), np.float32))[0]
    time = jnp.arange(4.0 * 32)
    # Frames are 4 samples apart, a whole period of bin 4 of 16: all in one phase. Four
    # Hann windows that overlap add up to 2, their squares to 1.5.
    expected = 2 / 1.5 * jnp.cos(jnp.pi / 2 * time)
    np.testing.assert_allclose(wave[16:-16], expected[16:-16], atol=1e-4)


def test_margins_of_published_generators():
    assert margin(HiFiGANConfig()) == 15  # V1: 0.17 s


def test_antialiasing_changes_the_waveform():
    """Which have no parameters of their own for it."""
    cfg = dataclasses.replace(TINY, activation="snake", resblock="2", rates=(2,),
                              kernels=(4,), dilations=((1,), (1,)))  # fmt: skip
    params = random_params(build_hifigan(cfg))
    mel = 5 * jax.random.normal(jax.random.key(1), (1, 6, 5))
    waves = [
        build_hifigan(dataclasses.replace(cfg, antialias=on)).apply(params, mel)
        for on in (False, True)
    ]
    assert float(jnp.abs(waves[0] - waves[1]).max()) > 0.01
