"""A recipe of the toy vocoder: see toy_parts.py."""

from ml_collections import ConfigDict

from configs import vocoder


def get_config(arg: str = "tones") -> ConfigDict:
    """The toy vocoder with a small discriminator."""
    del arg
    config = vocoder.get_config()
    config.vocoder = {"name": "toy", "n_mels": 64, "hop_length": 256}
    config.discriminators = {"mpd": {"periods": (2,), "channels": (2, 4)}}
    config.data.batch_size = 4
    config.parallel.data = 1
    config.loss.discriminator_start = 1
    config.train.update({"steps": 2, "log_every": 1, "checkpoint_every": 2})
    return config
