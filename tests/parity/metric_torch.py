"""The networks of metrics in PyTorch, by the names of the arrays of their files.

Written out from the papers and from what their authors' code computes, without ours.
"""

import functools
import itertools

import librosa
import numpy as np
import pytest

torch = pytest.importorskip("torch")

nn, F = torch.nn, torch.nn.functional


@functools.cache
def librosas_bands(rate, n_fft, n_mels, fmin, fmax):
    options = {"n_mels": n_mels, "fmin": fmin, "fmax": fmax, "dtype": np.float64}
    return librosa.filters.mel(sr=rate, n_fft=n_fft, **options)


def decibels(waves, rate, n_fft, hop, n_mels, fmin, fmax):
    """What torchlibrosa makes of waves [B, N], in float64: [B, T, F]."""
    window = torch.hann_window(n_fft, dtype=torch.float64)
    x = torch.as_tensor(waves).double()
    found = torch.stft(x, n_fft, hop, window=window, return_complex=True)
    power = found.real**2 + found.imag**2
    bands = librosas_bands(rate, n_fft, n_mels, fmin, fmax)
    mel = torch.from_numpy(bands) @ power
    return 10 * mel.clamp(min=1e-10).log10().transpose(1, 2)


@functools.cache
def mel_triangles(rate, n_fft, n_mels, low, high):
    """Triangles over mels of 1127 ln(1 + f / 700), bins of n_fft // 2 + 1: [F, K]."""
    mels = 1127 * np.log(1 + np.array([low, high]) / 700)
    step = (mels[1] - mels[0]) / (n_mels + 1)
    bands = np.zeros((n_mels, n_fft // 2 + 1))
    for k in range(1, n_fft // 2):  # neither the constant nor half the rate
        mel = 1127 * np.log(1 + k * rate / n_fft / 700)
        for band in range(n_mels):
            middle = mels[0] + (band + 1) * step
            bands[band, k] = max(0.0, 1 - abs(mel - middle) / step)
    return bands


def vggish_examples(waves, rate, win, n_fft, hop, n_mels, low, high, frames):
    """What VGGish is shown of waves [B, N], in float64: [B, E, frames, F]."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    turns = np.outer(np.arange(win), np.arange(n_fft // 2 + 1)) / n_fft
    transform = hann[:, None] * np.exp(-2j * np.pi * turns)
    bands = mel_triangles(rate, n_fft, n_mels, low, high)
    found = []
    for wave in waves.astype(np.float64):
        count = (1 + (len(wave) - win) // hop) // frames
        starts = hop * np.arange(count * frames)
        rows = np.stack([wave[start : start + win] for start in starts])
        mel = np.log(np.abs(rows @ transform) @ bands.T + 0.01)
        found.append(mel.reshape(count, frames, n_mels))
    return torch.from_numpy(np.stack(found))


def passt_mels(waves, rate, n_fft, win, hop, n_mels, low, high, *_):
    """What PaSST is shown of waves [B, N], in float64: [B, T, F]."""
    x = torch.as_tensor(waves).double()
    emphasis = torch.tensor([[[-0.97, 1]]], dtype=torch.float64)
    x = F.conv1d(x[:, None], emphasis)[:, 0]
    window = torch.hann_window(win, periodic=False, dtype=torch.float64)
    found = torch.stft(x, n_fft, hop, win, window, return_complex=True)
    bands = torch.from_numpy(mel_triangles(rate, n_fft, n_mels, low, high))
    mel = bands @ (found.real**2 + found.imag**2)
    return ((mel + 1e-5).log().transpose(1, 2) + 4.5) / 5


class ConvBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(c_out), nn.BatchNorm2d(c_out)

    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()


class Cnn14(nn.Module):
    """Of decibels [B, T, F]: Kong et al. 2020, table I and section III-B."""

    def __init__(self, widths, n_mels, embedding, classes):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(n_mels)
        self.depth = len(widths)
        for i, sizes in enumerate(zip([1, *widths], widths, strict=False)):
            self.add_module(f"conv_block{i + 1}", ConvBlock(*sizes))
        self.fc1 = nn.Linear(widths[-1], embedding)
        self.fc_audioset = nn.Linear(embedding, classes)

    def forward(self, mel):
        x = self.bn0(mel.transpose(1, 2)[..., None])  # a channel a band
        x = x.permute(0, 3, 2, 1)  # [B, 1, T, F]
        for i in range(self.depth):
            x = getattr(self, f"conv_block{i + 1}")(x)
            if i < self.depth - 1:
                x = F.avg_pool2d(x, 2)
        x = x.mean(dim=3)
        embedding = self.fc1(x.amax(dim=2) + x.mean(dim=2)).relu()
        return embedding, self.fc_audioset(embedding)


class VGGish(nn.Module):
    """Of examples [B, T, F]: Hershey et al. 2017, as torchvggish has it."""

    def __init__(self, stages, frames, n_mels, hidden, embedding, activation=False):
        super().__init__()
        layers, before = [], 1
        for stage in stages:
            for width in stage:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        area = (frames >> len(stages)) * (n_mels >> len(stages))
        widths, denses = [before * area, *hidden, embedding], []
        for c_in, c_out in itertools.pairwise(widths):
            denses += [nn.Linear(c_in, c_out), nn.ReLU()]
        self.embeddings = nn.Sequential(*(denses if activation else denses[:-1]))

    def forward(self, mel):
        x = self.features(mel[:, None]).permute(0, 2, 3, 1)
        return self.embeddings(x.flatten(1))


def whitened(x, eigen_vectors, means, quantised):
    """AudioSet's postprocessing of embeddings [B, D]."""
    x = (eigen_vectors @ (x.T - means.reshape(-1, 1))).T
    return ((x.clamp(-2, 2) + 2) * 255 / 4).round() if quantised else x


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, -1)
        out = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, 1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, 1e-6), Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Passt(nn.Module):
    """Of mels [B, T, F]: Koutini et al. 2022, of a distilled transformer."""

    def __init__(self, width, depth, heads, n_mels, frames, patch, stride, classes):
        super().__init__()
        rows, columns = (1 + (size - patch) // stride for size in (n_mels, frames))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(1, width, patch, stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, rows, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, columns))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))
        self.head_dist = nn.Linear(width, classes)  # of training alone

    def forward(self, mel):
        x = self.patch_embed.proj(mel.transpose(1, 2)[:, None])
        x = x + self.time_new_pos_embed[..., : x.shape[-1]] + self.freq_new_pos_embed
        tokens = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        tokens = tokens.expand(len(x), -1, -1)
        x = torch.cat([tokens, x.flatten(2).transpose(1, 2)], dim=1)
        embedding = self.norm(self.blocks(x))[:, :2].mean(1)
        return embedding, self.head(embedding)
