"""A system whose every part is one line, so that what is around them shows.

A prompt is a number in words. The denoiser says ``x * z + told * number`` of latents z,
with parameters x and told; an autoencoder repeats a mel spectrogram along time, twice
smaller; a vocoder holds each frame's first band, times its parameter.
"""

import jax.numpy as jnp
import numpy as np

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.process import make_process
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.vae import LEAST_LOG_VARIANCE, Moments
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.autoencoders import Autoencoder
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.conditioning import Conditioning, Tokenizers
from diffusion_audio.systems.denoisers import Denoiser
from diffusion_audio.systems.system import System
from diffusion_audio.systems.vocoders import Vocoder

SPEC = PRESETS["tones_16k"]
NOTHING = -7.0  # the number of no prompt
X0 = Objective("x0")


class Numbers:
    """Prompts that are numbers."""

    def arrays(self, prompts):
        return {"number": np.array([float(p or "nan") for p in prompts], np.float32)}

    def null(self):
        return {"number": np.array([NOTHING], np.float32)}

    def files(self):
        return {}


TOKENIZERS = Tokenizers({"number": Numbers()})


def condition(params, arrays):
    return Condition((), params["told"] * arrays["number"][:, None])


def predict(params, z, t, told):
    del t
    return params["x"] * z + told.vector[:, :, None, None]


def autoencode(params, x, *, method):
    if method == "decode":
        return params["size"] * jnp.repeat(x, 2, axis=1)
    mean = x[:, ::2] / params["size"]
    return Moments(mean, jnp.full_like(mean, LEAST_LOG_VARIANCE))


def vocode(params, mel):
    return params["gain"] * jnp.repeat(mel[:, :, 0], SPEC.hop_length, axis=1)


def toy_system(objective: Objective = X0, vocoder: bool = True) -> System:
    """The system; see the top of the file."""
    number = Conditioner(
        Network(lambda key: {"told": jnp.ones(())}, condition),
        lambda captions: Numbers(),
        lambda files: Numbers(),
    )
    network = Network(lambda key: {"gain": jnp.ones(())}, vocode)
    return System(
        spec=SPEC,
        process=make_process("cosine", steps=100),
        objective=objective,
        conditioning=Conditioning({"number": number}),
        denoiser=Denoiser(Network(lambda key: {"x": jnp.zeros(())}, predict), 1, 1),
        autoencoder=Autoencoder(
            Network(lambda key: {"size": jnp.ones(())}, autoencode), 1, (2, 1)
        ),
        vocoder=Vocoder(network, network, SPEC.n_mels, SPEC.hop_length, 0)
        if vocoder
        else None,
    )


PARAMS = {
    "conditioners": {"number": {"told": jnp.ones(())}},
    "denoiser": {"x": jnp.zeros(())},
}
FROZEN = {
    "autoencoder": {"size": jnp.float32(3.0)},
    "vocoder": {"gain": jnp.float32(0.5)},
    "latent_scale": jnp.float32(0.25),
}
