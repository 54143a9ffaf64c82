"""Devices exchange what theory asks for and nothing else, counted in what is compiled.

Data-parallel: gradients and metrics are added once. FSDP: each split parameter is
gathered once, and gradients are added (XLA for CPUs then cuts out each device's part;
for accelerators it makes a reduce-scatter of the two). No activation is sent.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import stft
from diffusion_audio.nn.conv1d import grouped_conv
from diffusion_audio.training import parallel, program
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.update import accumulated

WIDTH, SAMPLES, BATCH = 128, 256, 8
SHAPES = {"w": (33, WIDTH), "grouped": (3, WIDTH // 4, WIDTH), "out": (WIDTH, 256)}
BYTES = {name: 4 * int(np.prod(shape)) for name, shape in SHAPES.items()}
SCALARS = 4  # of the loss
# What is compiled is read and never run, so it need not be fast.
HURRY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def step(parts, state, batch, key):
    """One update with a transform, a convolution in groups and products."""

    def loss(params, state, batch, key):
        del state, key
        power = jnp.square(jnp.abs(stft(batch["x"], 64, 32, 64)))  # [B, T, 33]
        hidden = jnp.tanh(power @ params["w"])
        hidden = grouped_conv(hidden, params["grouped"], 1, 4)
        value = jnp.square(hidden @ params["out"]).mean()
        return value, value

    gradient = accumulated(jax.grad(loss, has_aux=True), parts)
    grads, value = gradient(state["params"], state, batch, key)
    params = jax.tree.map(lambda p, g: p - 0.1 * g, state["params"], grads)
    return state | {"params": params}, {"loss": value}


def run(cfg, parts=1):
    mesh = parallel.make_mesh(cfg)
    rng = np.random.default_rng(0)
    params = {k: rng.normal(0, 0.1, v).astype("float32") for k, v in SHAPES.items()}
    state = {"params": params, "frozen": {}}
    state = jax.device_put(state, parallel.state_shardings(state, mesh))
    wave = rng.normal(0, 1, (BATCH, SAMPLES)).astype("float32")
    batch = parallel.place_batch({"x": wave}, mesh)
    lowered = parallel.compile_step(partial(step, parts), mesh).lower(
        state, batch, jax.random.key(0)
    )
    compiled = lowered.compile()
    found = program.read(compiled).collectives
    assert {each.times for each in found} <= {1}
    totals = Counter()
    for each in found:
        totals[each.kind] += each.bytes
    return totals, jax.device_get(compiled(state, batch, jax.random.key(0)))


@pytest.fixture(scope="module")
def alone():
    totals, result = run(ParallelConfig(data=1))
    assert not totals
    return result


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("data", "fsdp"), [(4, 1), (1, 4), (2, 2)])
def test_parameters_are_gathered_and_gradients_added(
    data, fsdp, parts, alone, monkeypatch
):
    """Once, in however many parts a batch goes through."""
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 4 * WIDTH)
    totals, result = run(ParallelConfig(data=data, fsdp=fsdp), parts)
    every = sum(BYTES.values())
    # With both axes it may add over one, cut, and add the parts over the other.
    again = every // fsdp if data > 1 and fsdp > 1 else 0
    assert every <= totals.pop("all-reduce") <= every + again + 2 * SCALARS
    assert totals.pop("all-gather", 0) == (every if fsdp > 1 else 0)
    assert not totals
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        result,
        alone,
    )


def of_a_unet(fsdp):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.eight_devices", str(fsdp)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": HURRY},
        capture_output=True,
        encoding="utf-8",
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_unet_on_eight_devices_adds_its_gradients_once():
    found = of_a_unet(fsdp=1)
    assert found["count"] == {"all-reduce": 1}
    metrics = found["bytes"]["all-reduce"] - found["params"]
    assert 0 < metrics < 100
    assert found["held"] == found["state"]


@pytest.mark.slow
def test_a_unet_on_eight_devices_holds_an_eighth_of_its_state():
    found = of_a_unet(fsdp=8)
    assert found["held"] < found["state"] / 7
    assert found["devices"] == [8]
    assert set(found["count"]) == {"all-gather", "all-reduce"}
    assert found["count"]["all-gather"] == found["split_count"]
    assert found["bytes"]["all-gather"] == found["split"]
    assert 0 < found["bytes"]["all-reduce"] - found["params"] < 1000
