"""HiFi-GAN against PyTorch: transformers' generator, the paper's discriminators.

The discriminators and the second kind of residual block, which transformers does not
have, are written out in `hifigan_torch`.
"""

import jax
import numpy as np
import pytest

from diffusion_audio.models.discriminators import (
    MPDConfig,
    MSDConfig,
    build_mpd,
    build_msd,
)
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.nn.conv1d import refresh_spectral
from tests.parity.hifigan_torch import (
    GeneratorV3,
    Period,
    Scale,
    assert_close,
    generator_params,
    layer,
    layers,
    randomize,
)

pytestmark = [
    pytest.mark.parity,
    # The reference's own weight_norm and spectral_norm, deprecated but still there.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

nn = torch.nn


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize(
    ("rates", "kernels"), [((8, 2), (16, 4)), ((5, 4, 2), (16, 16, 4))]
)
def test_generator_is_speecht5_hifigan(rates, kernels, weight_norm):
    torch.manual_seed(0)
    model = transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=20,
            upsample_initial_channel=64,
            upsample_rates=list(rates),
            upsample_kernel_sizes=list(kernels),
            normalize_before=False,
            initializer_range=0.1,
        )
    ).eval()
    if weight_norm:
        model.apply_weight_norm()
    randomize(model)
    cfg = HiFiGANConfig(
        n_mels=20, channels=64, rates=rates, kernels=kernels, weight_norm=weight_norm
    )
    params = generator_params(
        model, model.upsampler, 3, lambda b: b.convs1, lambda b: b.convs2
    )
    mel = np.random.default_rng(0).normal(size=(2, 11, 20)).astype(np.float32)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel))
    ours = jax.jit(build_hifigan(cfg).apply)(params, mel)
    assert ours.shape == (2, 11 * cfg.hop_length)
    assert 0.01 < float(np.std(ours)) < 0.9
    assert_close(ours, theirs[:, : ours.shape[1]])  # theirs has a tail for odd k - u


@pytest.mark.parametrize("weight_norm", [False, True])
def test_generator_with_the_second_residual_block(weight_norm):
    torch.manual_seed(0)
    cfg = HiFiGANConfig(
        n_mels=20,
        channels=64,
        rates=(8, 4),
        kernels=(16, 8),
        resblock="2",
        resblock_kernels=(3, 5, 7),
        dilations=((1, 2), (2, 6), (3, 12)),
        weight_norm=weight_norm,
    )
    norm = nn.utils.weight_norm if weight_norm else lambda module: module
    model = GeneratorV3(cfg, norm)
    randomize(model)
    params = generator_params(model, model.ups, 3, lambda b: b.convs, lambda b: ())
    mel = np.random.default_rng(0).normal(size=(2, 11, 20)).astype(np.float32)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel).mT)
    assert_close(jax.jit(build_hifigan(cfg).apply)(params, mel), theirs)


WAVE = np.random.default_rng(0).normal(size=(2, 1501)).astype(np.float32)


def test_multi_period_discriminator():
    torch.manual_seed(0)
    cfg = MPDConfig(channels=(8, 16, 16, 24, 24))
    models = [Period(period, cfg.channels) for period in cfg.periods]
    params = {
        "parts": {
            str(i): {"convs": layers(m.convs), "conv_post": layer(m.conv_post)}
            for i, m in enumerate(models)
        }
    }
    outputs = jax.jit(build_mpd(cfg).apply)(params, WAVE)
    for output, model in zip(outputs, models, strict=True):
        theirs = model(torch.from_numpy(WAVE))
        for ours, expected in zip(output.features, theirs, strict=True):
            assert_close(ours, expected.permute(0, 3, 2, 1))  # [B, p, n, C]
        assert_close(output.logits, theirs[-1].permute(0, 3, 2, 1).flatten(1))


def test_multi_scale_discriminator_and_its_power_iteration():
    torch.manual_seed(0)
    cfg = MSDConfig(channels=(16, 16, 32, 32, 64, 64, 64))
    norms = [nn.utils.spectral_norm, nn.utils.weight_norm, nn.utils.weight_norm]
    models = [Scale(cfg, norm) for norm in norms]

    def params():
        return {
            "parts": {
                str(i): {"convs": layers(m.convs), "conv_post": layer(m.conv_post)}
                for i, m in enumerate(models)
            }
        }

    # A forward pass in training mode is one power iteration there.
    renewed = jax.jit(refresh_spectral)(params())
    pool = nn.AvgPool1d(4, 2, padding=2)
    x, theirs = torch.from_numpy(WAVE)[:, None], []
    for model in models:
        theirs.append(model(x))
        x = pool(x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), renewed, params()
    )
    outputs = jax.jit(build_msd(cfg).apply)(renewed, WAVE)
    for output, expected_maps in zip(outputs, theirs, strict=True):
        for ours, expected in zip(output.features, expected_maps, strict=True):
            assert_close(ours, expected.permute(0, 2, 1))
        assert_close(output.logits, expected_maps[-1].flatten(1))
