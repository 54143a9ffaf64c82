"""HiFi-GAN against PyTorch: transformers' generator, the paper's discriminators.

The discriminators and the second kind of residual block, which transformers does not
have, are written out here from the paper, with PyTorch's own layers and norms.
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

pytestmark = [
    pytest.mark.parity,
    # The reference's own weight_norm and spectral_norm, deprecated but still there.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

nn, functional = torch.nn, torch.nn.functional


def array(tensor):
    return np.asarray(tensor.detach().numpy())


def assert_close(ours, theirs):
    theirs = array(theirs)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def layer(module):
    """One PyTorch convolution, whatever its norm, as a dict of ours."""
    transposed = isinstance(module, nn.ConvTranspose1d)
    axes = (2, 0, 1) if transposed else (2, 1, 0)

    def kernel(tensor):
        if tensor.ndim == 4:  # MPD's kernels are [out, in, width, 1]
            tensor = tensor[..., 0]
        return array(tensor).transpose(axes)

    params = {"bias": array(module.bias)}
    if hasattr(module, "weight_orig"):
        k = kernel(module.weight_orig)
        v = array(module.weight_v).reshape(k.shape[1], k.shape[0]).T.reshape(-1)
        return params | {
            "kernel": k,
            "spectral_u": array(module.weight_u),
            "spectral_v": v,
        }
    if hasattr(module, "parametrizations"):
        weight = module.parametrizations.weight
        return params | {"g": kernel(weight.original0), "v": kernel(weight.original1)}
    if hasattr(module, "weight_g"):
        return params | {"g": kernel(module.weight_g), "v": kernel(module.weight_v)}
    return params | {"kernel": kernel(module.weight)}


def layers(modules):
    return {str(i): layer(module) for i, module in enumerate(modules)}


def generator_params(model, upsamplers, per_stage, dilated, plain):
    blocks = {
        str(i): {
            str(j): {
                "dilated": layers(dilated(block)),
                **({"plain": layers(plain(block))} if plain(block) else {}),
            }
            for j, block in enumerate(model.resblocks[i * per_stage :][:per_stage])
        }
        for i in range(len(upsamplers))
    }
    return {
        "conv_pre": layer(model.conv_pre),
        "upsamplers": layers(upsamplers),
        "blocks": blocks,
        "conv_post": layer(model.conv_post),
    }


def randomize(model):
    """Values of a size that keeps every layer away from zero and from saturation."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            scale = 0.05 if name.endswith("bias") else 1 + 0.3 * torch.rand(())
            if name.endswith("bias"):
                value.copy_(scale * torch.randn_like(value))
            else:
                value.mul_(scale)


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


class ResBlock2(nn.Module):
    def __init__(self, channels, width, dilations, norm):
        super().__init__()
        self.convs = nn.ModuleList(
            norm(
                nn.Conv1d(
                    channels, channels, width, dilation=d, padding=d * (width - 1) // 2
                )
            )
            for d in dilations
        )

    def forward(self, x):
        for conv in self.convs:
            x = x + conv(functional.leaky_relu(x, 0.1))
        return x


class GeneratorV3(nn.Module):
    """The paper's generator with its second kind of residual block."""

    def __init__(self, cfg, norm):
        super().__init__()
        self.conv_pre = norm(nn.Conv1d(cfg.n_mels, cfg.channels, 7, padding=3))
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        width = cfg.channels
        for u, k in zip(cfg.rates, cfg.kernels, strict=True):
            pad = (k - u) // 2
            self.ups.append(
                norm(nn.ConvTranspose1d(width, width // 2, k, u, padding=pad))
            )
            width //= 2
            for r, d in zip(cfg.resblock_kernels, cfg.dilations, strict=True):
                self.resblocks.append(ResBlock2(width, r, d, norm))
        self.conv_post = norm(nn.Conv1d(width, 1, 7, padding=3))
        self.parallel = len(cfg.resblock_kernels)

    def forward(self, x):
        x = self.conv_pre(x)
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, 0.1))
            fusion = self.resblocks[i * self.parallel :][: self.parallel]
            x = sum(block(x) for block in fusion) / self.parallel
        return torch.tanh(self.conv_post(functional.leaky_relu(x)))[:, 0]


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


class Period(nn.Module):
    def __init__(self, period, channels):
        super().__init__()
        norm = nn.utils.weight_norm
        self.period, self.convs = period, nn.ModuleList()
        before = 1
        for i, after in enumerate(channels):
            stride = 1 if i == len(channels) - 1 else 3
            self.convs.append(
                norm(nn.Conv2d(before, after, (5, 1), (stride, 1), padding=(2, 0)))
            )
            before = after
        self.conv_post = norm(nn.Conv2d(before, 1, (3, 1), padding=(1, 0)))

    def forward(self, x):
        x = functional.pad(x[:, None], (0, -x.shape[-1] % self.period), "reflect")
        x = x.reshape(len(x), 1, -1, self.period)
        features = []
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), 0.1)
            features.append(x)
        return [*features, self.conv_post(x)]


class Scale(nn.Module):
    def __init__(self, cfg, norm):
        super().__init__()
        self.convs = nn.ModuleList()
        before = 1
        for c, k, s, g in zip(
            cfg.channels, cfg.kernels, cfg.strides, cfg.groups, strict=True
        ):
            self.convs.append(
                norm(nn.Conv1d(before, c, k, s, groups=g, padding=k // 2))
            )
            before = c
        self.conv_post = norm(nn.Conv1d(before, 1, 3, padding=1))

    def forward(self, x):
        features = []
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), 0.1)
            features.append(x)
        return [*features, self.conv_post(x)]


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
    judgements = jax.jit(build_mpd(cfg).apply)(params, WAVE)
    for judgement, model in zip(judgements, models, strict=True):
        theirs = model(torch.from_numpy(WAVE))
        for ours, expected in zip(judgement.features, theirs, strict=True):
            assert_close(ours, expected.permute(0, 3, 2, 1))  # [B, p, n, C]
        assert_close(judgement.logits, theirs[-1].permute(0, 3, 2, 1).flatten(1))


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
    judgements = jax.jit(build_msd(cfg).apply)(renewed, WAVE)
    for judgement, expected_maps in zip(judgements, theirs, strict=True):
        for ours, expected in zip(judgement.features, expected_maps, strict=True):
            assert_close(ours, expected.permute(0, 2, 1))
        assert_close(judgement.logits, expected_maps[-1].flatten(1))
