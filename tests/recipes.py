"""Tiny versions of the recipes, for tests of whole runs."""

from pathlib import Path

import numpy as np
import soundfile
from ml_collections import ConfigDict

from diffusion_audio.recipe import load

CONFIGS = Path(__file__).parents[1] / "configs"


def recipe(task: str, preset: str = "tones") -> ConfigDict:
    """A recipe as the command line would load it."""
    return load(f"{CONFIGS / task}.py:{preset}")


def tiny(task: str, source: str, steps: int = 3, preset: str = "tones") -> ConfigDict:
    """A recipe with tiny networks and few steps, on short clips of a source."""
    config = recipe(task, preset)
    config.data.source = source
    config.data.seconds = 0.512
    config.data.batch_size = 4
    config.parallel.data = 1
    config.train.update(steps=steps, log_every=1, checkpoint_every=2)
    if task == "vae":
        config.autoencoder.update(channels=(8,), latent=4, groups=4)
    if task == "vocoder":
        config.data.seconds = 0.064
        config.vocoder.channels = 8
        config.discriminators.mpd.update(periods=(2,), channels=(2, 4))
        config.discriminators.msd.update(channels=(4, 4, 4))
        config.loss.discriminator_start = 1
    if task == "diffusion":
        config.conditioners.text.update(vocabulary=300, max_tokens=32, width=16)
        config.conditioners.text.update(depth=1, heads=2, vector_dim=16, contexts=(16,))
        unet = config.denoiser
        unet.update(in_channels=4, out_channels=4, channels=(8, 16), groups=4)
        unet.update(contexts=(16,), vector_dim=16, heads=(2, 2))
        unet.attention = (False, True)
        config.sampling.steps = 3
        config.listen.prompts = ("a low tone", "a high tone")
    return config


def folder_of_audio(root: Path, rate: int = 44_100, channels: int = 2) -> str:
    """A folder of recordings of several lengths with captions, as a source."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["file_name,caption"]
    for i, seconds in enumerate((0.3, 0.6, 0.9, 1.4, 0.7, 1.1)):
        t = np.arange(round(seconds * rate)) / rate
        tone = 0.3 * np.sin(2 * np.pi * 220 * (i + 1) * t)[:, None]
        wave = tone + 0.01 * rng.normal(size=(len(t), channels))
        soundfile.write(root / f"clip{i}.wav", wave, rate)
        lines.append(f"clip{i}.wav,a tone number {i}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{root}"


def label(root: Path, config: ConfigDict) -> None:
    """Gives the clips of `folder_of_audio` pitches, for a classifier to learn."""
    path = root / "metadata.csv"
    head, *rows = path.read_text().splitlines()
    rows = [f"{row},{('low', 'high')[i % 2]}" for i, row in enumerate(rows)]
    path.write_text("\n".join([f"{head},pitch", *rows]) + "\n")
    config.data.labels, config.classifier.classes = ("pitch",), (2,)
