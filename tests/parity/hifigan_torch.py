"""HiFi-GAN written out from the paper with PyTorch's own layers and norms.

And the way from its modules to our parameters, one layer at a time.
"""

import functools

import librosa
import numpy as np
import pytest

torch = pytest.importorskip("torch")

nn, functional = torch.nn, torch.nn.functional


def array(tensor):
    """A copy: JAX reads NumPy memory in place, later than PyTorch may change it."""
    return tensor.detach().numpy().copy()


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


class Discriminators(nn.Module):
    """MPD and MSD together."""

    def __init__(self, mpd, msd):
        super().__init__()
        norm = nn.utils.weight_norm
        self.mpd = nn.ModuleList(Period(p, mpd.channels) for p in mpd.periods)
        self.msd = nn.ModuleList(
            Scale(msd, norm if scale else nn.utils.spectral_norm)
            for scale in range(msd.scales)
        )

    def forward(self, wave):
        """All feature maps [discriminator][layer]; the last of each are its logits."""
        x, maps = wave[:, None], [each(wave) for each in self.mpd]
        for each in self.msd:
            maps.append(each(x))
            x = functional.avg_pool1d(x, 4, 2, padding=2)
        return maps

    def params(self):
        return {
            kind: {
                "parts": {
                    str(i): {"convs": layers(m.convs), "conv_post": layer(m.conv_post)}
                    for i, m in enumerate(getattr(self, kind))
                }
            }
            for kind in ("mpd", "msd")
        }


def log_mel(wave, rate, n_fft, hop, n_mels, fmax):
    """[B, N] -> [B, F, T], as the published code."""
    pad = (n_fft - hop) // 2
    wave = functional.pad(wave[:, None], (pad, pad), "reflect")[:, 0]
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(
        wave, n_fft, hop, n_fft, window, center=False, return_complex=True
    )
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    return torch.log(torch.clamp(_bands(rate, n_fft, n_mels, fmax) @ magnitude, 1e-5))


@functools.cache
def _bands(rate, n_fft, n_mels, fmax):
    bands = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmax=fmax)
    return torch.from_numpy(bands.astype(np.float32))


def adamw(model):
    """The published optimiser."""
    return torch.optim.AdamW(
        model.parameters(), lr=2e-4, betas=(0.8, 0.99), weight_decay=0.01
    )


def update(generator, discriminators, optim_g, optim_d, wave, heard, compared):
    """The published step; returns every loss.

    ``heard`` makes the mels that the generator gets, ``compared`` those of its loss.
    """
    fake = generator(heard(wave))
    with torch.no_grad():
        discriminators.train()(wave)  # the step's one power iteration
    discriminators.eval()
    pairs = zip(discriminators(wave), discriminators(fake.detach()), strict=True)
    d_loss = sum(((1 - r[-1]) ** 2).mean() + (f[-1] ** 2).mean() for r, f in pairs)
    optim_d.zero_grad()
    d_loss.backward()
    optim_d.step()

    optim_g.zero_grad()
    distance = (compared(wave) - compared(fake)).abs().mean()
    real_maps, fake_maps = discriminators(wave), discriminators(fake)
    features = sum(
        (a.detach() - b).abs().mean()
        for r, f in zip(real_maps, fake_maps, strict=True)
        for a, b in zip(r, f, strict=True)
    )
    adversarial = sum(((1 - f[-1]) ** 2).mean() for f in fake_maps)
    g_loss = adversarial + 2 * features + 45 * distance
    g_loss.backward()
    optim_g.step()
    losses = {
        "discriminator": d_loss,
        "mel": distance,
        "features": features,
        "adversarial": adversarial,
        "loss": g_loss,
    }
    return {name: value.item() for name, value in losses.items()}
