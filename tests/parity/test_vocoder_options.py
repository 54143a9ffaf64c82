"""What came after HiFi-GAN, against PyTorch written out from the published code."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.models.discriminators import MRDConfig, build_mrd
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.nn.snake import Activation, downsample, low_pass, upsample
from tests.parity.hifigan_torch import GeneratorV3, assert_close, generator_params

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


def kaiser_sinc():
    """BigVGAN's filter: cutoff 0.25, half width 0.3, 12 taps."""
    attenuation = 2.285 * 5 * np.pi * 4 * 0.3 + 7.95
    beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window = torch.kaiser_window(12, beta=beta, periodic=False, dtype=torch.float64)
    time = torch.arange(-6, 6, dtype=torch.float64) + 0.5
    taps = 0.5 * window * torch.sinc(0.5 * time)
    return (taps / taps.sum()).float()


def test_the_filters_of_bigvgan():
    taps = kaiser_sinc()
    np.testing.assert_allclose(low_pass(), taps, atol=1e-6)
    x = torch.randn(2, 3, 37)
    kernel = taps.expand(3, 1, 12)
    padded = functional.pad(x, (5, 5), "replicate")
    up = 2 * functional.conv_transpose1d(padded, kernel, stride=2, groups=3)
    up = up[..., 15:-15]
    down = functional.conv1d(
        functional.pad(up, (5, 6), "replicate"), kernel, stride=2, groups=3
    )
    ours = upsample(jnp.asarray(x.mT.numpy()))
    assert_close(ours, up.mT)
    assert_close(downsample(ours), down.mT)
    act = Activation("snake", 3, slope=0.1, antialias=True)
    bent = up + torch.sin(up) ** 2
    bent = functional.conv1d(
        functional.pad(bent, (5, 6), "replicate"), kernel, stride=2, groups=3
    )
    assert_close(act(jnp.asarray(x.mT.numpy())), bent.mT)


class GeneratorISTFT(GeneratorV3):
    """iSTFTNet: spectra in place of samples at the end."""

    def __init__(self, cfg, norm):
        super().__init__(cfg, norm)
        width = cfg.channels // 2 ** len(cfg.rates)
        self.conv_post = norm(nn.Conv1d(width, cfg.istft_n_fft + 2, 7, padding=3))
        self.n_fft = cfg.istft_n_fft

    def forward(self, x):
        x = self.conv_pre(x)
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, 0.1))
            fusion = self.resblocks[i * self.parallel :][: self.parallel]
            x = sum(block(x) for block in fusion) / self.parallel
        x = functional.pad(functional.leaky_relu(x), (1, 0), "reflect")
        x = self.conv_post(x)
        bins = self.n_fft // 2 + 1
        magnitude, phase = torch.exp(x[:, :bins]), torch.sin(x[:, bins:])
        return torch.istft(
            magnitude * torch.exp(1j * phase),
            self.n_fft,
            self.n_fft // 4,
            self.n_fft,
            torch.hann_window(self.n_fft),
        )


def test_the_head_of_istftnet():
    torch.manual_seed(0)
    cfg = HiFiGANConfig(
        n_mels=20,
        channels=32,
        rates=(8, 4),
        kernels=(16, 8),
        resblock="2",
        resblock_kernels=(3, 5),
        dilations=((1, 2), (2, 6)),
        istft_n_fft=16,
    )
    model = GeneratorISTFT(cfg, nn.utils.weight_norm)
    params = generator_params(model, model.ups, 2, lambda b: b.convs, lambda b: ())
    mel = np.random.default_rng(0).normal(size=(2, 9, 20)).astype(np.float32)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel).mT)
    ours = jax.jit(build_hifigan(cfg).apply)(params, mel)
    assert ours.shape == tuple(theirs.shape) == (2, 9 * cfg.hop_length)
    assert_close(ours, theirs)


class UpsampleStart(nn.ConvTranspose1d):
    """AudioLDM's at 48 kHz: padding u // 2 + u % 2, output_padding u % 2, k = 2 u."""

    def __init__(self, inputs, outputs, rate):
        super().__init__(
            inputs,
            outputs,
            2 * rate,
            rate,
            padding=rate // 2 + rate % 2,
            output_padding=rate % 2,
        )


def test_odd_rates_as_audioldm_at_48_khz():
    torch.manual_seed(0)
    cfg = HiFiGANConfig(
        n_mels=20,
        channels=32,
        rates=(6, 5, 4),
        kernels=(12, 10, 8),
        resblock="2",
        resblock_kernels=(3,),
        dilations=((1, 2),),
        weight_norm=False,
        cut="start",
    )
    model = GeneratorV3(cfg, lambda module: module)
    for i, rate in enumerate(cfg.rates):
        model.ups[i] = UpsampleStart(32 >> i, 16 >> i, rate)
    params = generator_params(model, model.ups, 1, lambda b: b.convs, lambda b: ())
    mel = np.random.default_rng(0).normal(size=(2, 9, 20)).astype(np.float32)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel).mT)
    ours = jax.jit(build_hifigan(cfg).apply)(params, mel)
    assert ours.shape == tuple(theirs.shape)
    assert_close(ours, theirs)
    other = build_hifigan(dataclasses.replace(cfg, cut="end")).apply(params, mel)
    assert float(jnp.abs(other - ours).max()) > 1e-3


class Resolution(nn.Module):
    """DAC's band-wise discriminator of one resolution."""

    def __init__(self, cfg, window):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        c = cfg.channels
        sizes = [((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1)]
        self.window, self.edges = window, cfg.edges
        self.bands = nn.ModuleList(
            nn.ModuleList(
                norm(
                    nn.Conv2d(
                        c if i else 2, c, k, (1, s), padding=(k[0] // 2, k[1] // 2)
                    )
                )
                for i, (k, s) in enumerate(sizes)
            )
            for _ in cfg.edges[1:]
        )
        self.conv_post = norm(nn.Conv2d(c, 1, (3, 3), padding=(1, 1)))

    def forward(self, wave):
        hop = self.window // 4
        pad = (self.window - hop) // 2
        wave = functional.pad(wave[:, None], (pad, pad), "reflect")[:, 0]
        spectrum = torch.stft(
            wave,
            self.window,
            hop,
            window=torch.hann_window(self.window),
            center=False,
            return_complex=True,
        )
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [B, 2, T, F]
        bins = [int(edge * x.shape[-1]) for edge in self.edges]
        maps, ends = [], []
        for low, high, band in zip(bins[:-1], bins[1:], self.bands, strict=True):
            y = x[..., low:high]
            for conv in band:
                y = functional.leaky_relu(conv(y), 0.1)
                maps.append(y)
            ends.append(y)
        return [*maps, self.conv_post(torch.cat(ends, -1))]


def convolution(module):
    weight = module.parametrizations.weight
    g, v = (
        w.detach().numpy().transpose(2, 3, 1, 0)
        for w in (weight.original0, weight.original1)
    )
    return {"g": g, "v": v, "bias": module.bias.detach().numpy()}


def test_the_discriminator_of_spectrograms():
    torch.manual_seed(0)
    cfg = MRDConfig(windows=(256, 64), channels=8)
    models = [Resolution(cfg, window) for window in cfg.windows]
    params = {
        "parts": {
            str(i): {
                "bands": {
                    str(j): {str(k): convolution(c) for k, c in enumerate(band)}
                    for j, band in enumerate(model.bands)
                },
                "conv_post": convolution(model.conv_post),
            }
            for i, model in enumerate(models)
        }
    }
    wave = np.random.default_rng(0).normal(size=(2, 1024)).astype(np.float32)
    outputs = jax.jit(build_mrd(cfg).apply)(params, wave)
    for output, model in zip(outputs, models, strict=True):
        theirs = model(torch.from_numpy(wave))
        for ours, expected in zip(output.features, theirs, strict=True):
            assert_close(ours, expected.permute(0, 2, 3, 1))
