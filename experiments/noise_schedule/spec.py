"""Three forward chains."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Does the noise schedule matter for latents of sound?",
    base="configs/diffusion.py:tones",
    baseline="cosine",
    variants={
        "linear": {
            "schedule": {
                "name": "linear",
                "steps": 1000,
                "beta_start": 1e-4,
                "beta_end": 0.02,
            }
        },
        "scaled linear": {
            "schedule": {
                "name": "scaled_linear",
                "steps": 1000,
                "beta_start": 0.0015,
                "beta_end": 0.0195,
            }
        },
    },
    common={"train.steps": 600, "listen.prompts": ()},
    components={"autoencoder": "configs/vae.py:tones"},
)
