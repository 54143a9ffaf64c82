"""A recipe of toy parts: see toy_parts.py."""

from ml_collections import ConfigDict

from configs import diffusion

PRESETS = ("tones", "averages", "frozen")


def get_config(arg: str = "tones") -> ConfigDict:
    """The toy system on the patches of mels."""
    config = diffusion.get_config()
    if "averages" in arg:
        config.task = "averages"
    config.autoencoder = {"name": "patches", "size": 8}
    config.denoiser = {"name": "toy", "channels": 64, "width": 16}
    config.conditioners = {
        "letters": {"name": "letters", "length": 8, "trained": "frozen" not in arg}
    }
    config.data.batch_size = 8
    config.data.cache_latents = False
    config.parallel.data = 1
    config.sampling.steps = 2
    config.listen.captions = 0
    config.train.update({"steps": 4, "log_every": 1, "checkpoint_every": 2})
    return config
