"""Training a HiFi-GAN vocoder on any audio; captions are not needed.

diffusion-audio train --config=configs/vocoder.py:tones --workdir=runs/vocoder
diffusion-audio train --config=configs/vocoder.py:v1 --workdir=runs/vocoder \
    --config.data.source=folder:DIR

Presets:
    tones         the embedded data set, minutes on two CPU cores.
    folder        the same small network on a folder of audio at 16 kHz.
    v1, v2, v3    HiFi-GAN (Kong et al. 2020), 22.05 kHz and 80 mels: 13.93 M, 0.93 M
                  and 1.46 M parameters.
    audioldm_16k  AudioLDM's, 16 kHz and 64 mels: 55.26 M parameters.
    auffusion     Auffusion's, 16 kHz and 256 mels: 13.67 M parameters.
    long          after tones or folder: ten times the steps.
    smoke         after another preset: a few steps, to see that it runs.
"""

from ml_collections import ConfigDict

from configs import common


def tones(config: ConfigDict) -> None:
    """The demo's vocoder."""


def folder(config: ConfigDict) -> None:
    """The demo's network on audio of one's own."""
    config.data.source = "folder:DIR"
    config.train.update({"steps": 100_000, "checkpoint_every": 5000})
    config.loss.discriminator_start = 10_000


def _paper(config: ConfigDict, audio: str, mels: int, hop: int, segment: int) -> None:
    """The published training: losses, optimiser, full discriminators.

    Args:
        config: changed in place.
        audio: preset of the AudioSpec.
        mels: its mel bands.
        hop: its hop length in samples.
        segment: hops of a training segment.
    """
    rate = 22_050 if audio == "hifigan_22k" else 16_000
    config.audio.preset = audio
    config.data.source = "folder:DIR"
    config.data.seconds = segment * hop / rate
    config.data.batch_size = 16
    config.generator = {"n_mels": mels}
    config.discriminators = {"mpd": {"dtype": "float32"}, "msd": {"dtype": "float32"}}
    config.loss.update({"mel_distance": "l1", "discriminator_start": 0})
    config.optimizer.update(
        {
            "learning_rate": 2e-4,
            "warmup_steps": 0,
            "decay": "exponential",
            "decay_rate": 0.9999988,  # 0.999 an epoch of LJSpeech
            "weight_decay": 0.01,
            "clip_norm": 0.0,
        }
    )
    config.ema.decay = 0.0
    config.train.update({"steps": 2_500_000, "log_every": 100})
    config.train.update({"evaluate_every": 1000, "checkpoint_every": 5000})


def v1(config: ConfigDict) -> None:
    """HiFi-GAN V1."""
    _paper(config, "hifigan_22k", mels=80, hop=256, segment=32)


def v2(config: ConfigDict) -> None:
    """HiFi-GAN V2: V1 with a quarter of the channels."""
    v1(config)
    config.generator.channels = 128


def v3(config: ConfigDict) -> None:
    """HiFi-GAN V3: three stages and single-convolution blocks."""
    v1(config)
    config.generator.update(
        {
            "channels": 256,
            "rates": (8, 8, 4),
            "kernels": (16, 16, 8),
            "resblock": "2",
            "resblock_kernels": (3, 5, 7),
            "dilations": ((1, 2), (2, 6), (3, 12)),
        }
    )


def audioldm_16k(config: ConfigDict) -> None:
    """AudioLDM's vocoder; its segment of 8192 is no multiple of the hop, 8160 is."""
    _paper(config, "audioldm_16k", mels=64, hop=160, segment=51)
    config.generator.update(
        {"channels": 1024, "rates": (5, 4, 2, 2, 2), "kernels": (16, 16, 8, 4, 4)}
    )


def auffusion(config: ConfigDict) -> None:
    """Auffusion's vocoder."""
    _paper(config, "auffusion_16k", mels=256, hop=160, segment=32)
    config.generator.update(
        {"channels": 512, "rates": (5, 4, 4, 2), "kernels": (11, 8, 8, 4)}
    )


def long(config: ConfigDict) -> None:
    """Ten times the steps."""
    config.train.steps *= 10
    config.loss.discriminator_start *= 10


def smoke(config: ConfigDict) -> None:
    """A few steps, the last of them with the discriminators."""
    config.train.update({"steps": 12, "log_every": 4})
    config.loss.discriminator_start = min(10, config.loss.discriminator_start)


PRESETS = {
    "tones": tones,
    "folder": folder,
    "v1": v1,
    "v2": v2,
    "v3": v3,
    "audioldm_16k": audioldm_16k,
    "auffusion": auffusion,
    "long": long,
    "smoke": smoke,
}


def get_config(arg: str = "tones") -> ConfigDict:
    """The config of the presets named in ``arg``."""
    config = common.base("vocoder", audio="tones_16k")
    config.data.seconds = 0.256
    config.data.batch_size = 16
    # Few stages: on a CPU the work at the full rate is what costs. Silence is zero at
    # the input and the variance is kept, or the output hardly depends on the input
    # for the first thousands of steps.
    config.generator = {
        "n_mels": 64,
        "channels": 128,
        "rates": (16, 4, 4),
        "kernels": (32, 8, 8),
        "resblock": "2",
        "resblock_kernels": (3, 7),
        "dilations": ((1, 3), (1, 3)),
        "init": "preserving",
        "input_shift": -4.605170185988091,  # ln of the floor of tones_16k
    }
    config.discriminators = {
        "mpd": {"periods": (2, 3, 5), "channels": (8, 16, 32)},
        "msd": {
            "scales": 1,
            "channels": (8, 16, 32),
            "kernels": (15, 41, 5),
            "strides": (1, 4, 1),
            "groups": (1, 4, 1),
        },
    }
    config.loss = {
        "mel_distance": "soft",
        "mel": 45.0,
        "features": 2.0,
        "adversarial": 1.0,
        "discriminator_start": 1000,
    }
    config.optimizer.update({"learning_rate": 3e-3, "b1": 0.8, "clip_norm": 0.0})
    config.ema.decay = 0.99
    config.train.update({"steps": 1100, "checkpoint_every": 550})
    return common.apply(config, arg, PRESETS)
