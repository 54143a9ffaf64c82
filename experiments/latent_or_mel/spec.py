"""Diffusion in a VAE's latents, or on the mel itself."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Are latents better to diffuse than the mel itself?",
    base="configs/diffusion.py:tones",
    baseline="latents",
    variants={
        "mel, patches of 8": {
            "components.autoencoder": "",
            "autoencoder.size": 8,
            "denoiser.in_channels": 64,
            "denoiser.out_channels": 64,
        },
        "mel, patches of 16": {
            "components.autoencoder": "",
            "autoencoder.size": 16,
            "denoiser.in_channels": 256,
            "denoiser.out_channels": 256,
        },
    },
    common={"train.steps": 600, "listen.prompts": ()},
    components={"autoencoder": "configs/vae.py:tones"},
)
