"""A toy task that exercises the loop: linear regression with addressed noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.training import ema
from diffusion_audio.training.parallel import mean_over_devices
from diffusion_audio.training.task import Task
from diffusion_audio.training.update import UpdateRule, accumulated

WIDTH = 8
AVERAGE = ema.EMAConfig(decay=0.9)


def task(parts: int = 1) -> Task:
    """Regression of noisy sums; Adam and an average."""
    rule = UpdateRule(optax.adam(1e-2), AVERAGE, parts)

    def init(key, batch, frozen=None):
        params = {"w": jax.random.normal(key, (WIDTH,))}
        frozen = (frozen or {"part": jnp.ones(3)}) | {"scale": jnp.std(batch["x"])}
        return rule.start(params, frozen)

    def loss(params, state, batch, key):
        keys = example_keys(step_key(key, "noise", state["step"]), batch["index"])
        x = batch["x"] / state["frozen"]["scale"] + 0.1 * example_noise(keys, (WIDTH,))
        error = jnp.square(x @ params["w"] - batch["x"].sum(axis=1)).mean()
        return error, {"loss": error}

    def evaluate(state, batches, key):
        del key
        x = next(batches)["x"]
        error = jnp.mean(jnp.square(x @ state["ema"]["w"] - x.sum(axis=1)))
        return Evaluation({"error": float(error)}, {}, {})

    def step(state, batch, key):
        gradient = accumulated(jax.grad(loss, has_aux=True), parts)
        grads, metrics = mean_over_devices(gradient(state["params"], state, batch, key))
        norm = optax.tree.norm(grads)
        return rule.update(state, grads), metrics | {"grad_norm": norm}

    return Task(init, step, evaluate)


class Stream:
    """Batches of random numbers whose position can be saved; may go wrong."""

    def __init__(self, size: int = 8, broken_at: int | None = None, hook=None):
        self.size, self.position = size, 0
        self.broken_at, self.hook = broken_at, hook

    def __iter__(self):
        return self

    @property
    def ids(self):
        return tuple(f"{self.position - 1}/{i}" for i in range(self.size))

    def __next__(self):
        if self.hook:
            self.hook(self.position)
        x = np.random.default_rng(self.position).normal(size=(self.size, WIDTH))
        x = x.astype(np.float32)
        if self.position == self.broken_at:
            x[0, 0] = np.nan
        self.position += 1
        return {"x": x, "index": np.arange(self.size, dtype=np.int32)}

    def get_state(self):
        return {"next": self.position}

    def set_state(self, state):
        self.position = state["next"]
