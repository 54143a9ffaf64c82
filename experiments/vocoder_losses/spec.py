"""HiFi-GAN taken apart: its losses and discriminators, and what came after it."""

from diffusion_audio.recipe import load
from diffusion_audio.study.spec import Experiment, Published

PAPER = "Kong et al. 2020, table 2 (V3, 500k steps, LJSpeech)"
DISCRIMINATORS = load("configs/vocoder.py:tones").discriminators.to_dict()
MODERN = load("configs/vocoder.py:tones,stft_discriminator").discriminators.to_dict()

experiment = Experiment(
    question="What does each part of HiFi-GAN's training and generator bring?",
    base="configs/vocoder.py:tones",
    baseline="full",
    variants={
        "no MPD": {"discriminators": {"msd": DISCRIMINATORS["msd"]}},
        "no MSD": {"discriminators": {"mpd": DISCRIMINATORS["mpd"]}},
        "no MRF": {
            "vocoder.resblock_kernels": (7,),
            "vocoder.dilations": ((1, 3),),
        },
        "no feature matching": {"loss.features": 0.0},
        "no mel loss": {"loss.mel": 0.0},
        "mel loss alone": {"loss.features": 0.0, "loss.adversarial": 0.0},
        "mel loss of the paper": {"loss.mel_distance": "l1"},
        "multi-scale mel": {"loss.mel_distance": "multiscale", "loss.mel": 15.0},
        "STFT loss beside mel": {"loss.stft": 15.0},
        "STFT discriminator for MSD": {"discriminators": MODERN},
        "Snake": {"vocoder.activation": "snakebeta", "vocoder.antialias": True},
        "iSTFT head": {
            "vocoder.rates": (16, 4),
            "vocoder.kernels": (32, 8),
            "vocoder.istft_n_fft": 16,
        },
    },
    metrics={
        "multi_resolution_stft": "lower",
        "mel_l1": "lower",
        "log_spectral_distance": "lower",
        "adherence": "higher",
        "faults": "lower",
    },
    # From the first step, or most variants would be the same.
    common={
        "train.steps": 800,
        "data.batch_size": 8,
        "loss.discriminator_start": 0,
    },
    vocoder="",
    published=(
        Published("baseline", "MOS", 4.10, PAPER),
        Published("no MPD", "MOS", 2.28, PAPER),
        Published("no MSD", "MOS", 3.74, PAPER),
        Published("no MRF", "MOS", 3.92, PAPER),
        Published("no mel loss", "MOS", 3.25, PAPER),
    ),
    minutes=3.5,
)
