"""The networks of metrics in PyTorch, by the names of the arrays of their files.

Written out from the papers and what their authors' code computes, without ours: Cnn14.
"""

import librosa
import numpy as np
import pytest

torch = pytest.importorskip("torch")

nn, F = torch.nn, torch.nn.functional


def decibels(waves, rate, n_fft, hop, n_mels, fmin, fmax):
    """What torchlibrosa makes of waves [B, N], in float64: [B, T, F]."""
    window = torch.hann_window(n_fft, dtype=torch.float64)
    x = torch.from_numpy(waves.astype(np.float64))
    found = torch.stft(x, n_fft, hop, window=window, return_complex=True)
    power = found.real**2 + found.imag**2
    options = {"n_mels": n_mels, "fmin": fmin, "fmax": fmax, "dtype": np.float64}
    bands = librosa.filters.mel(sr=rate, n_fft=n_fft, **options)
    mel = torch.from_numpy(bands) @ power
    return 10 * mel.clamp(min=1e-10).log10().transpose(1, 2)


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
