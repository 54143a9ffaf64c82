"""The demo's recipe at the demo's length: what it was, and what takes a third of it."""

from diffusion_audio.study.spec import Experiment

MUON = {"optimizer.name": "muon", "optimizer.learning_rate": 6e-3}
SMALL = {"denoiser.channels": (32, 64), "train.steps": 1000}
LINEAR = {
    "loss.prediction": "x0",
    "schedule": {
        "name": "linear",
        "shift": 1.0,
        "steps": 1000,
        "zero_terminal_snr": False,
    },
}

experiment = Experiment(
    question="Which recipe obeys captions as well as the demo's "
    "in a third of the time?",
    base="configs/diffusion.py:tones",
    baseline="AdamW, 1500 steps",
    variants={
        "AdamW, small, x0 and linear": SMALL | LINEAR,
        "Muon, small": SMALL | MUON,
        "Muon, small, x0 and linear": SMALL | MUON | LINEAR,
    },
    metrics={
        "all_right": "higher",
        "adherence": "higher",
        "kernel": "lower",
        "mel_l1": "lower",
        "faults": "lower",
    },
    common={"listen.prompts": ()},
    components={"autoencoder": "configs/vae.py:demo"},
    vocoder="configs/vocoder.py:demo",
    prompts=144,
    minutes=1.5,
)
