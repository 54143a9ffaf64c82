"""Training a KL-VAE on mel spectrograms.

diffusion-audio train --config=configs/vae.py:demo --workdir=runs/vae
diffusion-audio train --config=configs/vae.py:folder --workdir=runs/vae \
    --config.data.source=folder:DIR

Presets:
    tones      the embedded data set, minutes on two CPU cores: 8x8x16 latents.
    demo       after tones: by Muon, in half of the time.
    folder     the same network on a folder of audio at 16 kHz, clips of 2.048 s.
    audioldm   AudioLDM's 55.38 M VAE, 16 kHz and 64 mels, 10.24 s.
    auffusion  Stable Diffusion's VAE shape for 256-mel spectrograms of one channel.
    smoke      after another preset: a few steps, to see that it runs.
"""

from ml_collections import ConfigDict

from configs import common, expected

# Every setting of a VAE, as it is where a preset does not say otherwise.
VAE = {
    "name": "vae",
    "in_channels": 1,
    "channels": (128, 256, 512),
    "blocks": 2,
    "latent": 8,
    "patch": 1,
    "mid_attention": True,
    "groups": 32,
    "dtype": "float32",
}


def tones(config: ConfigDict) -> None:
    """The embedded data set."""


def demo(config: ConfigDict) -> None:
    """By Muon, in half of the time."""
    config.optimizer.update({"name": "muon", "learning_rate": 6e-3})
    config.train.steps = 300
    config.train.expected = expected.VAE


def folder(config: ConfigDict) -> None:
    """The demo's network on longer clips of one's own."""
    config.data.source = "folder:DIR"
    config.data.seconds = 2.048
    config.data.batch_size = 16
    config.train.steps = 20_000


def audioldm(config: ConfigDict) -> None:
    """AudioLDM (Liu et al. 2023): settings of its 16 kHz, 64 mel VAE."""
    config.audio.preset = "audioldm_16k"
    config.data.source = "folder:DIR"
    config.data.seconds = 10.24
    config.data.batch_size = 4
    config.autoencoder = VAE | {"latent": 8}
    config.loss = {"distance": "l1", "kl_weight": 0.0305}
    config.optimizer.update(
        {"learning_rate": 8e-6, "warmup_steps": 0, "decay": "constant", "b1": 0.5}
    )
    config.optimizer.update({"b2": 0.9, "clip_norm": 0.0})
    config.ema.decay = 0.0
    config.train.update({"steps": 800_000, "log_every": 100, "evaluate_every": 5000})
    config.train.checkpoint_every = 5000


def auffusion(config: ConfigDict) -> None:
    """The shape of Stable Diffusion's VAE, trained on mels instead of taken over."""
    audioldm(config)
    config.audio.preset = "auffusion_16k"
    config.autoencoder = VAE | {"channels": (128, 256, 512, 512), "latent": 4}


def smoke(config: ConfigDict) -> None:
    """A few steps."""
    config.train.steps = 20
    config.train.log_every = 5


PRESETS = {
    "tones": tones,
    "demo": demo,
    "folder": folder,
    "audioldm": audioldm,
    "auffusion": auffusion,
    "smoke": smoke,
}


def get_config(arg: str = "tones") -> ConfigDict:
    """The config of the presets named in ``arg``."""
    config = common.base("vae", audio="tones_16k")
    config.autoencoder = VAE | {
        "channels": (64,),
        "blocks": 1,
        "latent": 16,
        "patch": 8,
        "mid_attention": False,
        "groups": 8,
    }
    config.loss = {"distance": "l2", "kl_weight": 1e-4}
    config.optimizer.learning_rate = 2e-3
    config.train.steps = 600
    return common.apply(config, arg, PRESETS)
