"""What code computes: kept by what writes it otherwise, changed by what changes it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffusion_audio.runs.metric_log import Evaluation
from diffusion_audio.study import fingerprint
from diffusion_audio.study.fingerprint import Fingerprint, change
from diffusion_audio.training import ema, optimizer
from diffusion_audio.training import probe as probing
from diffusion_audio.training.parallel import mean_over_devices
from diffusion_audio.training.task import Task
from diffusion_audio.training.update import UpdateRule, accumulated

CONFIG = {
    "data": {},
    "optimizer": {"warmup_steps": 4},
    "parallel": {"data": 1},
    "train": {"steps": 20},
}
CPU = {"devices": ["cpu"], "processor": "one"}


def line(config, folder, decode):
    """A line through points, learned by the optimiser and average of every task."""
    average = ema.EMAConfig(decay=0.99)
    settings = optimizer.OptimizerConfig(
        learning_rate=0.1, weight_decay=0.1, decay="cosine", **config["optimizer"]
    )
    learner = optimizer.make_optimizer(settings, config["train"]["steps"])
    rule = UpdateRule(learner, average)

    def init(key, batch, frozen):
        params = {"slope": jax.random.normal(key, (2, 1)), "start": jnp.ones((1,))}
        return rule.start(params)

    def loss(params, state, batch, key):
        error = batch["x"] @ params["slope"] + params["start"][None] - batch["y"]
        mean = jnp.mean(jnp.square(error))
        return mean, {"loss": mean}

    def step(state, batch, key):
        gradient = accumulated(jax.grad(loss, has_aux=True), 1)
        grads, metrics = mean_over_devices(gradient(state["params"], state, batch, key))
        norm = optax.tree.norm(grads)
        return rule.update(state, grads), metrics | {"grad_norm": norm}

    def evaluate(state, batches, key):
        found = [float(loss(state["ema"], state, b, key)[0]) for b in batches]
        return Evaluation({"loss": np.mean(found)}, {}, {})

    def points():
        rng = np.random.default_rng(0)
        while True:
            x = rng.normal(size=(4, 2)).astype(np.float32)
            yield {"x": x, "y": x.sum(1, keepdims=True)}

    return Task(init, step, evaluate), {}, points(), points()


@pytest.fixture
def probe(monkeypatch):
    monkeypatch.setattr(probing, "_probe_task", line)
    return lambda: fingerprint.of_training(CONFIG)


def test_steps_stand_where_formulas_differ(probe):
    numbers = probe().numbers
    assert numbers["probe step"] == [0, 2, 10, 19]
    assert all(math.isfinite(x) for values in numbers.values() for x in values)
    lengths = {name: len(values) for name, values in numbers.items()}
    assert lengths["loss"] == lengths["grad_norm"] == lengths["ema, moved"] == 4
    assert lengths["evaluation, loss"] == 1


def rewritten(cfg, average, params, step):
    """The average, in other words."""
    del cfg
    n = step.astype(jnp.float32)
    keep = jnp.minimum(jnp.float32(0.99), (n + 1) / (n + 10))
    return {
        name: old + (1 - keep) * (params[name] - old) for name, old in average.items()
    }


def test_what_is_written_otherwise_computes_the_same(probe, monkeypatch):
    before = probe()
    monkeypatch.setattr(ema, "update", rewritten)
    assert change(before, probe()) == ""


def other(name, **fixed):
    """An optimiser of optax with other settings."""
    made = getattr(optax, name)
    return lambda *inputs, **named: made(*inputs, **(named | fixed))


def late(cfg, average, params, step):
    return ema_update(cfg, average, params, step + 1)


ema_update = ema.update
CHANGES = {
    "b2": (optax, "adamw", other("adamw", b2=0.9991)),
    "eps": (optax, "adamw", other("adamw", eps=1e-7)),
    "warm-up": (
        optax,
        "linear_schedule",
        lambda a, b, n: lambda k: b * ((k + 1) / n) ** 2,
    ),
    "decay": (optimizer, "_decayed", optimizer._trained),
    "last steps": (
        optax,
        "cosine_decay_schedule",
        other("cosine_decay_schedule", alpha=1e-3),
    ),
    "average": (ema, "update", late),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_constant_is_seen(probe, monkeypatch, name):
    before = probe()
    monkeypatch.setattr(*CHANGES[name])
    assert " was " in change(before, probe())


def test_the_words_say_which_number_changed():
    old = Fingerprint({"loss": [1.0, 2.0], "norm": [3.0]}, CPU)
    new = Fingerprint({"loss": [1.0, 2.5], "norm": [3.1]}, CPU)
    assert change(old, new) == "loss (number 2 of 2) was 2 and is 2.5"
    assert change(old, old) == ""
    assert (
        change(old, old._replace(numbers={"loss": [1.0]}))
        == "loss has 1 values, then 2"
    )


@pytest.mark.parametrize(
    ("environment", "error", "same"),
    [
        (CPU, 1e-15, False),
        (CPU | {"processor": "another"}, 1e-7, True),
        (CPU | {"processor": "another"}, 1e-2, False),
        (CPU | {"devices": ["NVIDIA H100"]}, 1e-7, True),
    ],
)
def test_machines_round_in_their_own_way(environment, error, same):
    old = Fingerprint({"loss": [0.3]}, CPU)
    new = Fingerprint({"loss": [0.3 * (1 + error)]}, environment)
    assert (change(old, new) == "") == same


def test_an_accelerator_need_not_add_twice_in_the_same_order():
    gpu = CPU | {"devices": ["NVIDIA H100"]}
    a, b = (Fingerprint({"loss": [x]}, gpu) for x in (0.3, 0.3000001))
    assert change(a, b) == ""


def test_a_metric_that_is_new_or_gone_changes_nothing():
    old = Fingerprint({"loss": [0.3], "gone": [1.0]}, CPU)
    new = Fingerprint({"loss": [0.3], "new": [2.0]}, CPU)
    assert change(old, new) == ""
    assert change(old, Fingerprint({"new": [2.0]}, CPU)) != ""


def test_numbers_that_are_not_finite():
    nan, one = (Fingerprint({"loss": [x]}, CPU) for x in (math.nan, 1.0))
    assert change(nan, nan) == ""
    assert " was nan and is 1" in change(nan, one)


def test_the_order_of_arrays_does_not_count():
    leaves = [np.float32([1e8, 1.0]), np.float32([1e-8]), np.float32([[3.0], [1e4]])]
    assert probing.norm(leaves) == probing.norm(leaves[::-1])
