"""Guidance scale x condition dropout."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="How much guidance, and how much condition dropout does it need?",
    base="configs/diffusion.py:tones",
    baseline="dropout 0.1, scale 3",
    variants={
        f"dropout {dropout:g}, scale {scale:g}": {
            key: value
            for key, value, plain in (
                ("loss.condition_dropout", dropout, 0.1),
                ("sampling.guidance", scale, 3.0),
            )
            if value != plain
        }
        for dropout in (0.0, 0.1, 0.3)
        for scale in (1.0, 3.0, 6.0)
        if (dropout, scale) != (0.1, 3.0)
    },
    common={"train.steps": 600, "listen.prompts": ()},
    components={"autoencoder": "configs/vae.py:tones"},
)
