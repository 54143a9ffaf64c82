"""Writes golden/: a tiny generator in each of PyTorch's formats, and its arrays.

python -m tests.pretrained.make_golden    (needs PyTorch)
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

GOLDEN = Path(__file__).parent / "golden"
CONFIG = {
    "resblock": "2",
    "num_mels": 4,
    "upsample_initial_channel": 4,
    "upsample_rates": [2],
    "upsample_kernel_sizes": [4],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 2]],
    "sampling_rate": 1000,
    "n_fft": 16,
    "win_size": 16,
    "hop_size": 2,
    "fmin": 0,
    "fmax": None,
}


def generator(norm):
    convs = {
        "conv_pre": nn.Conv1d(4, 4, 7),
        "ups.0": nn.ConvTranspose1d(4, 2, 4, 2),
        "resblocks.0.convs.0": nn.Conv1d(2, 2, 3),
        "resblocks.0.convs.1": nn.Conv1d(2, 2, 3, dilation=2),
        "conv_post": nn.Conv1d(2, 1, 7),
    }
    return {
        f"{name}.{leaf}": value
        for name, conv in convs.items()
        for leaf, value in norm(conv).state_dict().items()
    }


def main():
    torch.manual_seed(0)
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    state = generator(nn.utils.weight_norm)
    old = {"_use_new_zipfile_serialization": False}
    torch.save({"generator": state}, GOLDEN / "zip.pt")
    torch.save({"generator": state}, GOLDEN / "stream.pt", **old)
    np.savez(GOLDEN / "expected.npz", **{k: v.numpy() for k, v in state.items()})
    newer = generator(nn.utils.parametrizations.weight_norm)
    odd = {
        "half": torch.arange(6.0).half(),
        "wide": torch.tensor([1.5, -2.0]).bfloat16(),
        "turned": torch.arange(6).reshape(2, 3).T,
        "none": torch.zeros(0, 3),
        "steps": 7,
        "nested": [{"lr": 0.5}, nn.Parameter(torch.ones(1))],
    }
    torch.save({"parametrized": newer, "odd": odd}, GOLDEN / "odd.pt")


if __name__ == "__main__":
    main()
