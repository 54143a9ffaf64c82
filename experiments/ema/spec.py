"""Averages of the parameters of several lengths."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="What does averaging the parameters bring?",
    base="configs/diffusion.py:tones",
    baseline="0.995",
    variants={
        "off": {"ema.decay": 0.0},
        "0.9": {"ema.decay": 0.9},
        "0.98": {"ema.decay": 0.98},
        "0.995, no warm-up": {"ema.warmup": False},
    },
    common={"train.steps": 600, "listen.prompts": ()},
    components={"autoencoder": "configs/vae.py:tones"},
)
