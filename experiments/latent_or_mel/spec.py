"""Diffusion in a VAE's latents, or on the mel itself."""

from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Are latents better to diffuse than the mel itself?",
    base="configs/diffusion.py:tones",
    baseline="latents",
    variants={
        "mel, patches of 8": {
            "components.vae": "",
            "patches.size": 8,
            "unet.in_channels": 64,
            "unet.out_channels": 64,
        },
        "mel, patches of 16": {
            "components.vae": "",
            "patches.size": 16,
            "unet.in_channels": 256,
            "unet.out_channels": 256,
        },
    },
    common={"train.steps": 600, "listen.prompts": ()},
    components={"vae": "configs/vae.py:tones"},
)
