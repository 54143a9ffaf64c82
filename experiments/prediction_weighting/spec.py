"""What the network predicts, and what an error weighs."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Which prediction and which weighting of the loss learn fastest?",
    base="configs/diffusion.py:tones",
    baseline="v, simple",
    variants={
        "epsilon, simple": {"loss.prediction": "epsilon"},
        "x0, simple": {"loss.prediction": "x0"},
        "v, min-SNR 5": {"loss.weighting": {"name": "min_snr", "gamma": 5.0}},
        "v, sigmoid": {"loss.weighting": {"name": "sigmoid", "bias": -3.0}},
        "epsilon, min-SNR 5": {
            "loss.prediction": "epsilon",
            "loss.weighting": {"name": "min_snr", "gamma": 5.0},
        },
        "epsilon, P2": {
            "loss.prediction": "epsilon",
            "loss.weighting": {"name": "p2", "k": 1.0, "gamma": 1.0},
        },
    },
    # Sampling starts where predicted noise still says something of the data.
    common={
        "train.steps": 600,
        "sampling.solver.name": "ddim",
        "sampling.steps": 50,
        "sampling.spacing": "leading",
        "listen.prompts": (),
    },
    components={"autoencoder": "configs/vae.py:tones"},
)
