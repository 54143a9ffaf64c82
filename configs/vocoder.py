"""Training a HiFi-GAN vocoder on any audio; captions are not needed.

diffusion-audio train --config=configs/vocoder.py:demo --workdir=runs/vocoder
diffusion-audio train --config=configs/vocoder.py:v1 --workdir=runs/vocoder \
    --config.data.source=folder:DIR

Presets:
    tones         the embedded data set, minutes on two CPU cores.
    demo          after tones: with an inverse STFT, in two thirds of the time.
    folder        the same small network on a folder of audio at 16 kHz.
    speech        a small network for recorded speech, 22.05 kHz and 80 mels, that two
                  CPU cores train in a quarter of an hour.
    v1, v2, v3    HiFi-GAN (Kong et al. 2020), 22.05 kHz and 80 mels: 13.93 M, 0.93 M
                  and 1.46 M parameters.
    audioldm_16k  AudioLDM's, 16 kHz and 64 mels: 55.26 M parameters.
    audioldm_48k  AudioLDM 2's, 48 kHz and 256 mels: 190.28 M parameters.
    auffusion     Auffusion's, 16 kHz and 256 mels: 13.67 M parameters.
    improved      V1 with snake, stft_discriminator and multiscale.
After another preset:
    snake         anti-aliased Snake-beta activations, as BigVGAN's.
    stft_discriminator    a multi-resolution STFT discriminator (DAC's) in place of MSD.
    multiscale    the mel loss at seven resolutions (DAC's).
    stft_loss     linear spectra count beside the mels, as Parallel WaveGAN's.
    istft         the last stages replaced by an inverse STFT, as iSTFTNet does.
    fine_tune     a lower learning rate, to go on with a vocoder that was trained before
                  (config.components.vocoder: a run or converted weights; the same
                  discriminators go on too), on mels as a VAE reconstructs them if
                  config.components.autoencoder names one, or on mels that another model
                  predicted for the recordings: config.data.mels, a folder of .npy
                  files (docs/vocoder_fine_tuning.md).
    long          after tones or folder: ten times the steps.
    smoke         a few steps, to see that it runs.
"""

from ml_collections import ConfigDict

from configs import common, expected


def tones(config: ConfigDict) -> None:
    """The embedded data set."""


def demo(config: ConfigDict) -> None:
    """With an inverse STFT: better after as many steps that take two thirds."""
    istft(config)
    config.train.expected = expected.VOCODER


def folder(config: ConfigDict) -> None:
    """The demo's network on audio of one's own."""
    config.data.source = "folder:DIR"
    config.train.update({"steps": 100_000, "checkpoint_every": 5000})
    config.loss.discriminator_start = 10_000


def speech(config: ConfigDict) -> None:
    """HiFi-GAN's mels, an inverse STFT for the last stages, and the STFT loss."""
    config.audio.preset = "hifigan_22k"
    config.data.source = "folder:DIR"
    config.data.seconds = 32 * 256 / 22_050
    config.vocoder.update({"n_mels": 80, "channels": 256, "istft_n_fft": 16})
    config.vocoder.update({"rates": (8, 8), "kernels": (16, 16)})
    config.vocoder.input_shift = -5.0  # about the mean of the log-mels of speech
    stft_loss(config)
    config.train.update({"steps": 1500, "checkpoint_every": 500})
    config.loss.discriminator_start = 1400


# Every setting of the generator, as V1 has it.
HIFIGAN = {
    "name": "hifigan",
    "channels": 512,
    "rates": (8, 8, 2, 2),
    "kernels": (16, 16, 4, 4),
    "resblock": "1",
    "resblock_kernels": (3, 7, 11),
    "dilations": ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    "weight_norm": True,
    "init": "reference",
    "input_shift": 0.0,
    "activation": "leaky_relu",
    "antialias": False,
    "istft_n_fft": 0,
    "cut": "end",
    "dtype": "float32",
}
# Every setting of the discriminators, as their papers have it.
MPD = {
    "periods": (2, 3, 5, 7, 11),
    "channels": (32, 128, 512, 1024, 1024),
    "dtype": "float32",
}
MSD = {
    "scales": 3,
    "channels": (128, 128, 256, 512, 1024, 1024, 1024),
    "kernels": (15, 41, 41, 41, 41, 41, 5),
    "strides": (1, 2, 2, 4, 4, 1, 1),
    "groups": (1, 4, 16, 16, 16, 16, 1),
    "dtype": "float32",
}
MRD = {
    "windows": (2048, 1024, 512),
    "channels": 32,
    "edges": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    "dtype": "float32",
}
RATES = {"hifigan_22k": 22_050, "audioldm_48k": 48_000}  # others are at 16 kHz


def _paper(config: ConfigDict, audio: str, mels: int, hop: int, segment: int) -> None:
    """The published training: losses, optimiser, full discriminators.

    Args:
        config: changed in place.
        audio: preset of the AudioSpec.
        mels: its mel bands.
        hop: its hop length in samples.
        segment: hops of a training segment.
    """
    config.audio.preset = audio
    config.data.source = "folder:DIR"
    config.data.seconds = segment * hop / RATES.get(audio, 16_000)
    config.data.batch_size = 16
    config.vocoder = HIFIGAN | {"n_mels": mels}
    config.discriminators = {"mpd": MPD, "msd": MSD}
    config.loss.update({"mel_distance": "l1", "discriminator_start": 0})
    config.optimizer.update(
        {
            "learning_rate": 2e-4,
            "warmup_steps": 0,
            "decay": "exponential",
            "decay_rate": 0.9999988,  # 0.999 an epoch of LJSpeech
            "weight_decay": 0.01,
            "decay_biases": True,
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
    config.vocoder.channels = 128


def v3(config: ConfigDict) -> None:
    """HiFi-GAN V3: three stages and single-convolution blocks."""
    v1(config)
    config.vocoder.update(
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
    config.vocoder.update(
        {"channels": 1024, "rates": (5, 4, 2, 2, 2), "kernels": (16, 16, 8, 4, 4)}
    )


def audioldm_48k(config: ConfigDict) -> None:
    """AudioLDM 2's at 48 kHz; a batch of 128 wants several accelerators."""
    _paper(config, "audioldm_48k", mels=256, hop=480, segment=32)
    config.vocoder.update(
        {
            "channels": 1536,
            "rates": (6, 5, 4, 2, 2),
            "kernels": (12, 10, 8, 4, 4),
            "resblock_kernels": (3, 7, 11, 15),
            "dilations": ((1, 3, 5),) * 4,
            "cut": "start",
        }
    )
    config.data.batch_size = 128
    config.optimizer.learning_rate = 1e-4


def auffusion(config: ConfigDict) -> None:
    """Auffusion's vocoder."""
    _paper(config, "auffusion_16k", mels=256, hop=160, segment=32)
    config.vocoder.update(
        {"channels": 512, "rates": (5, 4, 4, 2), "kernels": (11, 8, 8, 4)}
    )


def improved(config: ConfigDict) -> None:
    """V1 with what came after it."""
    v1(config)
    snake(config)
    stft_discriminator(config)
    multiscale(config)


def snake(config: ConfigDict) -> None:
    """Snake-beta between low-pass filters."""
    config.vocoder.update({"activation": "snakebeta", "antialias": True})


def stft_discriminator(config: ConfigDict) -> None:
    """Complex spectrograms in place of the waveform at three rates."""
    mpd = config.discriminators.mpd
    small = mpd.channels[0] < MPD["channels"][0]
    mrd = MRD | ({"windows": (512, 128), "channels": 8} if small else {})
    config.discriminators = {"mpd": mpd, "mrd": mrd}


def multiscale(config: ConfigDict) -> None:
    """Mels of seven resolutions, with the weight that DAC gives them."""
    config.loss.update({"mel_distance": "multiscale", "mel": 15.0})


def stft_loss(config: ConfigDict) -> None:
    """The multi-resolution STFT distance beside the mel's, a third of its weight."""
    config.loss.stft = config.loss.mel / 3


def istft(config: ConfigDict) -> None:
    """An inverse STFT for the last stages, those that make a factor of 4 or more."""
    rates = config.vocoder.rates
    kernels = config.vocoder.kernels
    hop = 1
    while hop < 4:
        hop *= rates[-1]
        rates, kernels = rates[:-1], kernels[:-1]
    config.vocoder.update({"rates": rates, "kernels": kernels, "istft_n_fft": 4 * hop})


def fine_tune(config: ConfigDict) -> None:
    """Going on with a vocoder that was trained before, and its discriminators."""
    config.components.vocoder = "RUN"
    config.optimizer.update({"learning_rate": 1e-4, "warmup_steps": 0})
    config.loss.discriminator_start = 0


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
    "demo": demo,
    "folder": folder,
    "speech": speech,
    "v1": v1,
    "v2": v2,
    "v3": v3,
    "audioldm_16k": audioldm_16k,
    "audioldm_48k": audioldm_48k,
    "auffusion": auffusion,
    "improved": improved,
    "snake": snake,
    "stft_discriminator": stft_discriminator,
    "multiscale": multiscale,
    "stft_loss": stft_loss,
    "istft": istft,
    "fine_tune": fine_tune,
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
    config.vocoder = HIFIGAN | {
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
        "mpd": MPD | {"periods": (2, 3, 5), "channels": (8, 16, 32)},
        "msd": MSD
        | {
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
        "stft": 0.0,
        "features": 2.0,
        "adversarial": 1.0,
        "discriminator_start": 1000,
    }
    config.components = {"autoencoder": "", "vocoder": ""}
    config.optimizer.update({"learning_rate": 3e-3, "b1": 0.8, "clip_norm": 0.0})
    config.ema.decay = 0.99
    config.train.update({"steps": 1100, "checkpoint_every": 550})
    return common.apply(config, arg, PRESETS)
