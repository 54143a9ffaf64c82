"""A tiny encoder of each kind, and sounds: for golden arrays and tests."""

from typing import Any

import numpy as np

from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.audio_encoders import TABLE, AudioEncoder
from diffusion_audio.systems.table import build
from tests.networks import random_params

TINY: dict[str, dict[str, Any]] = {
    "clap": {
        "name": "clap",
        "audio": {"width": 4, "depths": (2,), "heads": (2,), "window": 4, "side": 16}
        | {"n_mels": 6, "embedding": 5},
        "mel": {"sample_rate": 8000, "n_fft": 128, "hop_length": 50, "n_mels": 6}
        | {"fmax": 3000.0, "samples": 1000},
    },
    "cnn14": {
        "name": "cnn14",
        "network": {"widths": (8, 12, 16), "n_mels": 10, "embedding": 6, "classes": 7},
        "mel": {"sample_rate": 8000, "n_fft": 512, "hop_length": 80, "n_mels": 10}
        | {"fmax": 4000.0},
    },
    "vggish": {
        "name": "vggish",
        "network": {"stages": ((4,), (6, 8)), "frames": 21, "n_mels": 9}
        | {"hidden": (10, 12), "embedding": 5, "postprocessing": "pca"},
        "mel": {"sample_rate": 8000, "win_length": 100, "n_fft": 256, "hop_length": 40}
        | {"n_mels": 9, "fmax": 3500.0},
    },
    "passt": {
        "name": "passt",
        "network": {"width": 8, "depth": 2, "heads": 2, "n_mels": 12, "frames": 30}
        | {"patch": 5, "stride": 3, "classes": 7},
        "mel": {"sample_rate": 8000, "n_fft": 256, "win_length": 200, "n_mels": 12}
        | {"hop_length": 80, "fmax": 3500.0, "samples": 2400},
        "scene": True,
    },
}


def tiny(name: str) -> AudioEncoder:
    return build(TABLE, TINY[name], name)


def params_of(network: Network) -> Any:
    return random_params(network)


def waves(name: str) -> np.ndarray:
    """Noise that swells, a full tone that fades, and a faint one: float32 [3, N]."""
    samples = 2 * (tiny(name).window or 1000)
    time = np.linspace(0, 1, samples)
    noise = np.random.default_rng(0).uniform(-1, 1, samples)
    tone = np.sin(0.3 * np.arange(samples))
    sounds = [noise * time, tone * (1 - time) ** 4, 1e-3 * tone + 1e-4 * noise]
    return np.stack(sounds).astype(np.float32)
