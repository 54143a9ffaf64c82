"""Parts of one's own, in a file outside of the package: what docs/parts.md shows.

A denoiser of two dense layers, a conditioner with a tokenizer of its own and two
contexts, a vocoder of one convolution, and a diffusion loss that learns from the
averages.
"""

import json
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.diffusion.loss import averaged, example_losses
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems import conditioners, denoisers, vocoders
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.denoisers import Denoiser
from diffusion_audio.systems.table import Entry
from diffusion_audio.systems.vocoders import Vocoder
from diffusion_audio.training import tasks
from diffusion_audio.training.tasks import TaskEntry, diffusion


def dense(key, *shape):
    return jax.random.normal(key, shape) / np.sqrt(shape[0])


@dataclass(frozen=True)
class DenoiserConfig:
    """Settings of the denoiser.

    Attributes:
        channels: of the latents.
        width: of the hidden layer.
    """

    channels: int
    width: int = 16


def build_denoiser(cfg):
    def init(key):
        a, b = jax.random.split(key)
        inputs = cfg.channels + 3
        return {
            "a": dense(a, inputs, cfg.width),
            "b": dense(b, cfg.width, cfg.channels),
        }

    def apply(params, z, t, condition):
        told = [c.tokens.mean(axis=(1, 2)) for c in condition.contexts]
        told = jnp.stack([t.astype(jnp.float32) / 1000, *told], axis=-1)  # [B, 3]
        told = jnp.broadcast_to(told[:, None, None], (*z.shape[:3], 3))
        hidden = jnp.tanh(jnp.concatenate([z, told], axis=-1) @ params["a"])
        return hidden @ params["b"]

    return Denoiser(Network(init, apply), cfg.channels, cfg.channels)


denoisers.TABLE.add("toy", Entry(DenoiserConfig, build_denoiser))


@dataclass(frozen=True)
class ConditionerConfig:
    """Settings of the conditioner.

    Attributes:
        length: letters that are read of a prompt.
        trained: whether the embeddings are.
    """

    length: int = 8
    trained: bool = True


class Letters:
    """The letters of prompts by number; 0 is none."""

    def __init__(self, alphabet, length):
        self.alphabet, self.length = alphabet, length

    def arrays(self, prompts):
        numbers = [
            [self.alphabet.find(letter) + 1 for letter in prompt[: self.length]]
            for prompt in prompts
        ]
        rows = [row + [0] * (self.length - len(row)) for row in numbers]
        letters = np.array(rows, np.int32).reshape(len(prompts), self.length)
        counts = np.array([len(prompt) for prompt in prompts], np.float32)
        return {"letters": letters, "count": counts}

    def null(self):
        return self.arrays([""])

    def files(self):
        return {"alphabet.json": json.dumps(self.alphabet)}


def build_conditioner(cfg):
    def init(key):
        return {"letters": jax.random.normal(key, (128, 4))}

    def apply(params, arrays):
        letters = arrays["letters"]
        first = Context(params["letters"][letters], letters > 0)
        second = Context(0.1 * jnp.log1p(arrays["count"])[:, None, None])
        return Condition((first, second))

    def learn(captions):
        return Letters("".join(sorted(set("".join(captions)))), cfg.length)

    def read(files):
        return Letters(json.loads(files["alphabet.json"]), cfg.length)

    return Conditioner(Network(init, apply), learn, read, cfg.trained)


conditioners.TABLE.add("letters", Entry(ConditionerConfig, build_conditioner))


@dataclass(frozen=True)
class VocoderConfig:
    """Settings of the vocoder.

    Attributes:
        n_mels: bands that it takes.
        hop_length: samples that it makes of a frame.
    """

    n_mels: int
    hop_length: int


def build_vocoder(cfg):
    def init(key):
        return {"w": 0.1 * dense(key, 3 * cfg.n_mels, cfg.hop_length)}

    def apply(params, mel):
        padded = jnp.pad(mel, ((0, 0), (1, 1), (0, 0)))
        near = [padded[:, i : i + mel.shape[1]] for i in range(3)]
        frames = jnp.tanh(jnp.concatenate(near, axis=-1) @ params["w"])
        return frames.reshape(len(mel), -1)

    network = Network(init, apply)
    return Vocoder(network, network, cfg.n_mels, cfg.hop_length, margin=1)


vocoders.TABLE.add("toy", Entry(VocoderConfig, build_vocoder))


def loss_to_averages(task, params, state, batch, key):
    """Half the distance to the noise, half that to what the averages predict of it."""
    system, frozen = task.system, state["frozen"]
    keys = example_keys(step_key(key, "noise", state["step"]), batch["index"])
    x0 = system.latents(frozen, batch, keys)
    eps = example_noise(keys, x0.shape[1:])
    t = system.process.time(batch["share"])
    condition = partial(system.condition, frozen=frozen, prompt=batch["prompt"])
    teacher = state["ema"]

    def apply(params, z, t, _):
        return system.predict(params, z, t, condition(params))

    errors = example_losses(
        apply, params, system.process, x0, t, eps, None, system.objective
    )
    xt = x0 + eps  # any point will do for a toy
    theirs, ours = apply(teacher, xt, t, None), apply(params, xt, t, None)
    distance = jnp.square(ours - jax.lax.stop_gradient(theirs)).mean(axis=(1, 2, 3))
    each = 0.5 * errors + 0.5 * distance
    mean, metrics = averaged(each, batch["share"], batch["weight"])
    return mean, (metrics, task.timestep_sampler.observe(batch["share"], each))


tasks.TABLE.add(
    "averages",
    TaskEntry(diffusion.configure, partial(diffusion.make, loss=loss_to_averages)),
)
