"""Training the attribute classifier of generated clips, on real clips only.

diffusion-audio train --config=configs/classifier.py:demo --workdir=runs/classifier

Presets:
    tones      the embedded data set. Expect 100 % on validation, and 98 % or more
               for every attribute on the held-out combinations, in less than a
               minute on two CPU cores.
    demo       the same: it is what the demo's other networks are measured by.
    smoke      after another preset: a few steps, to see that it runs.
"""

from ml_collections import ConfigDict

from configs import common, expected


def tones(config: ConfigDict) -> None:
    """The embedded data set."""


def smoke(config: ConfigDict) -> None:
    """A few steps."""
    config.train.steps = 20
    config.train.log_every = 5


PRESETS = {"tones": tones, "demo": tones, "smoke": smoke}


def get_config(arg: str = "tones") -> ConfigDict:
    """The config of the presets named in ``arg``."""
    config = common.base("classifier", audio="tones_16k")
    config.data.batch_size = 48
    config.data.labels = ("instrument", "pitch", "envelope", "direction", "loudness")
    config.classifier = {
        "classes": (6, 8, 4, 3, 2),  # the number of values of each label
        "n_mels": 64,
        "channels": (16, 32, 64, 96),
        "embedding": 128,
        "groups": 8,
        "dtype": "float32",
    }
    config.augment = {
        "shift": 0.02,
        "gain": 1.5,
        "noise": 0.004,
        "blur": 1.0,
        "jitter": 0.4,
    }
    config.optimizer.update({"learning_rate": 3e-3, "warmup_steps": 30})
    config.optimizer.weight_decay = 0.01
    config.ema.decay = 0.98
    config.train.steps = 300
    config.train.expected = expected.CLASSIFIER
    return common.apply(config, arg, PRESETS)
