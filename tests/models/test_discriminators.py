import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import (
    MPDConfig,
    MRDConfig,
    MSDConfig,
    build_discriminators,
    build_mpd,
    build_mrd,
    build_msd,
)
from diffusion_audio.nn.conv1d import remove_weight_norm
from diffusion_audio.nn.functional import abstract_params, count
from tests.networks import normal, random_params

TINY_MPD = MPDConfig(periods=(2, 3), channels=(2, 4, 4))
TINY_MSD = MSDConfig(
    scales=2, channels=(4, 4, 8), kernels=(5, 9, 5), strides=(1, 2, 2), groups=(1, 2, 4)
)


def test_published_parameter_counts():
    """Of the convolutions themselves: weight norm's g, and u and v, apart."""
    mpd = jax.eval_shape(remove_weight_norm, abstract_params(build_mpd(MPDConfig())))
    assert count(mpd) == 41_092_165
    msd = jax.eval_shape(remove_weight_norm, abstract_params(build_msd(MSDConfig())))
    spectral = msd["parts"]["0"]
    u_v = sum(
        count({name: layer[name] for name in ("spectral_u", "spectral_v")})
        for layer in (*spectral["convs"].values(), spectral["conv_post"])
    )
    assert count(msd) - u_v == 29_610_627


def test_spectral_norm_is_on_the_first_scale_only():
    params = abstract_params(build_msd(TINY_MSD))["parts"]
    assert set(params["0"]["conv_post"]) == {
        "kernel",
        "bias",
        "spectral_u",
        "spectral_v",
    }
    assert set(params["1"]["conv_post"]) == {"g", "v", "bias"}


def test_mpd_sees_each_phase_of_a_period_apart():
    network = build_mpd(TINY_MPD)
    params, apply = random_params(network), jax.jit(network.apply)
    wave = normal(2, 60)
    other = wave.copy()
    other[:, 2::3] += 1
    before, after = apply(params, wave), apply(params, other)
    same = before[1].logits == after[1].logits
    np.testing.assert_array_equal(same.reshape(2, 3, -1).all(axis=(0, 2)), [1, 1, 0])
    assert [m.shape for m in before[1].features] == [
        (2, 3, 7, 2),
        (2, 3, 3, 4),
        (2, 3, 3, 4),
        (2, 3, 3, 1),
    ]
    assert before[1].logits.shape == (2, 9)


def test_mpd_pads_to_a_whole_period_by_reflection():
    network = build_mpd(MPDConfig(periods=(3,), channels=(2,)))
    params = random_params(network)
    wave = normal(1, 11)
    longer = np.concatenate([wave, wave[:, 9:10]], axis=1)
    both = jax.jit(lambda *waves: [network.apply(params, wave) for wave in waves])
    for a, b in zip(*both(wave, longer), strict=True):
        np.testing.assert_array_equal(a.logits, b.logits)


def convolved(x, kernel, stride, groups):
    """By its definition: x [B, N, C], padded by half the odd width, with [W, C, D]."""
    width, inputs, _ = kernel.shape
    x = np.pad(x, ((0, 0), (width // 2, width // 2), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(x, width, 1)[:, ::stride]
    outputs = [
        np.einsum("bncw,wcd->bnd", frames[:, :, i * inputs : (i + 1) * inputs], part)
        for i, part in enumerate(np.split(kernel, groups, axis=2))
    ]
    return np.concatenate(outputs, axis=2)


def test_msd_hears_the_padded_mean_of_four_at_half_the_rate():
    network = build_msd(TINY_MSD)
    params = random_params(network)
    plain = jax.tree.map(np.asarray, jax.jit(remove_weight_norm)(params["parts"]["1"]))
    wave = normal(1, 16)
    padded = np.pad(wave, ((0, 0), (2, 2)))
    half = np.stack([padded[:, i : i + 4].mean(1) for i in range(0, 17, 2)], axis=1)
    second_of_wave = jax.jit(network.apply)(params, wave)[1]
    # The second stack alone, fed with the mean: a network of weight-normed layers.
    x = half[..., None]
    layers = [*plain["convs"].values(), plain["conv_post"]]
    for layer, stride, groups, feature in zip(
        layers, (1, 2, 2, 1), (1, 2, 4, 1), second_of_wave.features, strict=True
    ):
        x = convolved(x, layer["kernel"], stride, groups) + layer["bias"]
        if layer is not layers[-1]:
            x = np.where(x > 0, x, 0.1 * x)
        np.testing.assert_allclose(feature, x, atol=1e-5)


def test_several_discriminators_judge_as_one():
    settings = {
        "msd": {
            "scales": 1,
            "channels": [4],
            "kernels": [5],
            "strides": [1],
            "groups": [1],
        },
        "mpd": {"periods": [2, 3], "channels": [2]},
    }
    network = build_discriminators(settings)
    params = abstract_params(network)
    assert set(params) == {"mpd", "msd"}
    assert len(jax.eval_shape(network.apply, params, jnp.ones((1, 24)))) == 3
    with pytest.raises(UserError, match="unknown discriminator 'mdr'"):
        build_discriminators({"mdr": {}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": (1, 2)}, "as many kernels, strides and groups"),
        ({"channels": (8, 8, 16, 32, 64, 64, 64)}, "layer 2 of MSD has 16 groups"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MSDConfig(**settings)
    with pytest.raises(UserError, match="at least one"):
        MPDConfig(periods=())


def test_mrd_is_of_dacs_size():
    plain = jax.eval_shape(remove_weight_norm, abstract_params(build_mrd(MRDConfig())))
    assert round(count(plain) / 1e6, 2) == 1.41


def test_mrd_judges_bands_apart():
    cfg = MRDConfig(windows=(64, 32), channels=4, edges=(0.0, 0.5, 1.0))
    network = build_mrd(cfg)
    params = random_params(network)
    time = np.arange(256, dtype=np.float32)
    low, high = (np.sin(2 * np.pi * f * time)[None] for f in (1 / 16, 7 / 16))
    apply = jax.jit(network.apply)
    before, after = apply(params, low), apply(params, low + high)
    assert [j.logits.shape[0] for j in before] == [1, 1]
    assert [m.shape for m in before[0].features[:2]] == [(1, 16, 16, 4), (1, 16, 8, 4)]
    assert len(before[0].features) == 11
    changes = [
        np.abs(np.asarray(a) - b)[:, 4:-4].max()
        for a, b in zip(before[0].features, after[0].features, strict=True)
    ]
    assert changes[0] < 0.02 * changes[5]  # the lower band hears little of the tone


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": (100,)}, "multiples of 8"),
        ({"windows": ()}, "multiples of 8"),
        ({"edges": (0.0, 0.6, 0.5, 1.0)}, "rise from 0 to 1"),
        ({"edges": (0.1, 1.0)}, "rise from 0 to 1"),
        ({"windows": (512, 16)}, "16 samples is too short"),
    ],
)
def test_mrd_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MRDConfig(**settings)
