"""Training text-conditional latent diffusion on the latents of a trained VAE.

diffusion-audio train --config=configs/diffusion.py:demo --workdir=runs/diffusion \
    --config.components.autoencoder=runs/vae --config.components.vocoder=runs/vocoder

The vocoder may be left out: it is for listening only and can be given later. Without
a VAE the model diffuses patches of the mel itself, 64 channels at their size of 8.

Presets:
    tones       the embedded data set, minutes on two CPU cores.
    folder      a small UNet on a folder of captioned audio, 16 kHz, clips of 2.048 s.
    audioldm    AudioLDM-S: 185.04 M UNet, FiLM on CLAP's vector.
    audioldm2   AudioLDM 2: 346.94 M UNet, cross-attention to what GPT-2 makes of CLAP
                and T5, and to T5's tokens.
    auffusion   Auffusion: the 859.52 M UNet of Stable Diffusion 1.5, on CLIP's tokens.
    scratch     after one of these three: a text encoder of one's own, trained with it.
    demo        after tones: a quarter of the UNet, by Muon, in a third of the time.
    long        after tones: ten times the steps.
    smoke       after another preset: a few steps, to see that it runs.

After one of these, another schedule or loss (`configs/objectives.py`): ``tones,flow``,
``tones,zero_snr,min_snr``.

The paper-size presets condition on the published encoders, frozen: their weights are
those of --config.components.conditioners=MODEL, a published system or its id on the
hub. With --config.components.denoiser=MODEL training starts from its UNet, and with
--config.components.autoencoder=MODEL it stands on its VAE:

diffusion-audio train --config=configs/diffusion.py:audioldm2 --workdir=runs/fine \
    --config.data.source=folder:DIR --config.components.conditioners=cvssp/audioldm2 \
    --config.components.autoencoder=cvssp/audioldm2 \
    --config.components.denoiser=cvssp/audioldm2 \
    --config.components.vocoder=cvssp/audioldm2
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from configs import common, encoders, expected, objectives
from configs.objectives import LATENT, chain

# Every setting of a UNet, as it is where a preset does not say otherwise.
UNET = {
    "name": "unet",
    "blocks": 2,
    "contexts": (),
    "depth": 1,
    "vector_dim": placeholder(int),
    "scale_shift": False,
    "projection": "conv",
    "groups": 32,
    "dtype": "float32",
    "remat": False,
}

# The text encoder of the embedded data set.
TEXT = {
    "name": "text",
    "vocabulary": 512,
    "max_tokens": 24,
    "contexts": (),
    "vector_dim": 256,
    "width": 128,
    "depth": 0,
    "heads": 4,
    "dtype": "float32",
}


def tones(config: ConfigDict) -> None:
    """The embedded data set."""


def demo(config: ConfigDict) -> None:
    """As good in a third of the time; see experiments/demo."""
    config.denoiser.channels = (32, 64)
    config.schedule = chain("linear", beta_start=1e-4, beta_end=0.02)
    config.loss.prediction = "x0"
    config.optimizer.update({"name": "muon", "learning_rate": 6e-3})
    config.train.steps = 1000
    config.train.expected = expected.DIFFUSION


def folder(config: ConfigDict) -> None:
    """A small model on captioned audio of one's own."""
    config.data.source = "folder:DIR"
    config.data.seconds = 2.048
    config.data.batch_size = 16
    config.data.cache_latents = False
    config.conditioners.text.update({"vocabulary": 4096, "max_tokens": 77, "depth": 2})
    config.sampling.steps = 25
    config.ema.decay = 0.9999
    config.train.update({"steps": 100_000, "evaluate_every": 5000})
    config.train.checkpoint_every = 5000


def _paper(config: ConfigDict) -> None:
    """What the published systems share."""
    config.data.source = "folder:DIR"
    config.data.seconds = 10.24
    config.data.batch_size = 16
    config.data.cache_latents = False
    config.loss.prediction = "epsilon"
    config.optimizer.update(
        {"learning_rate": 1e-4, "warmup_steps": 5000, "decay": "constant", "b2": 0.999}
    )
    config.ema.decay = 0.9999
    config.train.update({"steps": 1_500_000, "log_every": 100, "evaluate_every": 5000})
    config.train.checkpoint_every = 5000
    config.sampling.solver.name = "ddim"
    config.sampling.spacing = "leading"


def scratch(config: ConfigDict) -> None:
    """A text encoder of CLIP's size in the place of the published ones."""
    text = TEXT | {
        "vocabulary": 32_000,
        "max_tokens": 128,
        "contexts": tuple(filter(None, config.denoiser.contexts)),
        "vector_dim": placeholder(int),
        "width": 768,
        "depth": 12,
        "heads": 12,
    }
    config.conditioners = {"text": text}
    config.conditioners.text.vector_dim = config.denoiser.vector_dim


def _audioldm(config: ConfigDict) -> None:
    """What AudioLDM and AudioLDM 2 share: mels, latents, chain, widths."""
    _paper(config)
    config.audio.preset = "audioldm_16k"
    config.schedule = chain("scaled_linear", beta_start=0.0015, beta_end=0.0195)
    config.denoiser = UNET | {
        "in_channels": 8,
        "out_channels": 8,
        "channels": (128, 256, 384, 640),
        "attention": (False, True, True, True),
        "heads": (4, 8, 12, 20),
        "dtype": "bfloat16",
    }
    config.sampling.steps = 200


def audioldm(config: ConfigDict) -> None:
    """AudioLDM-S (Liu et al. 2023)."""
    _audioldm(config)
    config.conditioners = encoders.AUDIOLDM
    config.denoiser.update({"contexts": (None,), "vector_dim": 512})
    config.sampling.guidance = 2.5


def audioldm2(config: ConfigDict) -> None:
    """AudioLDM 2 (Liu et al. 2024), heads as in the original code."""
    _audioldm(config)
    config.conditioners = encoders.AUDIOLDM2
    config.denoiser.contexts = (None, 768, 1024)
    config.sampling.guidance = 3.5


def auffusion(config: ConfigDict) -> None:
    """Auffusion (Xue et al. 2024), with a VAE trained by `configs/vae.py:auffusion`."""
    _paper(config)
    config.audio.preset = "auffusion_16k"
    config.schedule = chain("scaled_linear", **LATENT)
    config.conditioners = encoders.AUFFUSION
    config.denoiser = UNET | {
        "in_channels": 4,
        "out_channels": 4,
        "channels": (320, 640, 1280, 1280),
        "attention": (True, True, True, False),
        "heads": (8, 8, 8, 8),
        "contexts": (768,),
        "dtype": "bfloat16",
    }
    config.sampling.update({"steps": 100, "guidance": 7.5})


def long(config: ConfigDict) -> None:
    """Ten times the steps."""
    config.train.steps *= 10


def smoke(config: ConfigDict) -> None:
    """A few steps."""
    config.train.steps = 20
    config.train.log_every = 5
    config.sampling.steps = 4


PRESETS = {
    "tones": tones,
    "demo": demo,
    "folder": folder,
    "audioldm": audioldm,
    "audioldm2": audioldm2,
    "auffusion": auffusion,
    "scratch": scratch,
    "long": long,
    "smoke": smoke,
    **objectives.PRESETS,
}


def get_config(arg: str = "tones") -> ConfigDict:
    """The config of the presets named in ``arg``."""
    config = common.base("diffusion", audio="tones_16k")
    # Runs, folders of published systems or their ids on the hub; the last two are what
    # training starts from.
    config.components = {
        "autoencoder": "",
        "vocoder": "",
        "conditioners": "",
        "denoiser": "",
    }
    # Of the mel itself, where no autoencoder is given.
    config.autoencoder = {"name": "patches", "size": 8}
    config.data.cache_latents = True
    # FiLM on the mean of the words, as AudioLDM does on CLAP's vector. Captions of a
    # few independent words need no more: cross-attention doubled the time of a step
    # on a CPU, and one block of self-attention the steps until captions are obeyed.
    config.conditioners = {"text": TEXT}
    config.denoiser = UNET | {
        "in_channels": 16,
        "out_channels": 16,
        "channels": (64, 128),
        "attention": (False, False),
        "heads": (2, 4),
        "blocks": 1,
        "contexts": (),
        "vector_dim": 256,
        "scale_shift": True,
        "groups": 8,
        "dtype": "float32",
    }
    config.schedule = chain("cosine")
    # The error of v counts much more than epsilon's where nearly all is noise, which
    # is where the caption decides: it was obeyed after a third of the steps.
    config.loss = {
        "condition_dropout": 0.1,
        "prediction": "v",
        "weighting": {"name": "simple"},
        "times": {"name": "uniform"},
        "learned_variance": False,
        "bound_weight": 1e-3,
    }
    config.likelihood = {"bound": False, "ode_steps": 0, "probes": 4}
    # As good as 200 steps of DDIM; see experiments/solver_steps.
    config.sampling = {
        "solver": {
            "name": "dpmpp_2m",
            "clip": placeholder(float),  # of all: bounds the predicted x_0
            "eta": placeholder(float),  # noise of ddim and euler_ancestral, 0 to 1
            "churn": placeholder(float),  # noise that euler and heun put in
            "churn_range": placeholder(tuple),
            "churn_noise": placeholder(float),
            "variance": placeholder(str),  # of ddpm
            "half_curvature": placeholder(bool),  # of dpmpp_3m
            "order": placeholder(int),  # of unipc
        },
        "steps": 10,
        "spacing": "trailing",
        "steps_offset": 0,
        "endpoint": True,
        "final": "data",
        "guidance": 3.0,
        "guidance_rescale": 0.0,
        "guidance_interval": placeholder(tuple),
    }
    # Sounds of evaluations: of prompts, or captions of the evaluation split.
    config.listen = {"prompts": (), "captions": 4}
    config.optimizer.learning_rate = 2e-3
    config.train.steps = 1500
    return common.apply(config, arg, PRESETS)
