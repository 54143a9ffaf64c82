"""Devices change nothing: one, four under jit, four under pmap, split states."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.training import parallel
from diffusion_audio.training.parallel import ParallelConfig
from tests.training import toy

LAYOUTS = {
    "one device": ParallelConfig(data=1),
    "four devices": ParallelConfig(data=4),
    "split state": ParallelConfig(data=2, fsdp=2),
    "pmap": ParallelConfig(mode="pmap", data=4),
}


def train(cfg: ParallelConfig, steps: int = 5):
    task = toy.task()
    mesh = parallel.make_mesh(cfg)
    stream, key = toy.Stream(), jax.random.key(3)
    first = parallel.place_batch(next(toy.Stream()), mesh)
    shapes = jax.eval_shape(task.init, key, first)
    shardings = parallel.state_shardings(shapes, mesh)
    state = jax.jit(task.init, out_shardings=shardings)(key, first)
    traces = []

    def step(state, batch, key):
        traces.append(1)
        return task.step(state, batch, key)

    compiled = parallel.compile_step(step, mesh, cfg.mode)
    for _ in range(steps):
        batch = parallel.place_batch(next(stream), mesh)
        old = state
        state, metrics = compiled(state, batch, key)
        # The old state's memory is the new one's.
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
    return jax.device_get((state, metrics)), len(traces)


@pytest.fixture(scope="module")
def reference():
    return train(LAYOUTS["one device"])[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_numbers_and_one_compilation(layout, reference, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 1)
    result, traces = train(LAYOUTS[layout])
    assert traces == 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6),
        result,
        reference,
    )


def test_fsdp_splits_the_longest_divisible_axis():
    mesh = parallel.make_mesh(ParallelConfig(data=2, fsdp=2))
    leaf = jax.ShapeDtypeStruct((3, 64, 256), "float32")
    small = jax.ShapeDtypeStruct((8,), "float32")
    shardings = parallel.state_shardings({"a": leaf, "b": small}, mesh)
    assert tuple(shardings["a"].spec) == (None, None, "fsdp")
    assert tuple(shardings["b"].spec) == (None,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ParallelConfig(mode="xmap"), "unknown parallel mode 'xmap'"),
        (lambda: ParallelConfig(mode="pmap", fsdp=2), "fsdp must be 1"),
        (lambda: parallel.make_mesh(ParallelConfig(data=3, fsdp=2)), "does not fit 4"),
        (
            lambda: parallel.place_batch(
                {"index": np.zeros(6)}, parallel.make_mesh(ParallelConfig(data=4))
            ),
            "6 examples cannot be split over 4 devices",
        ),
    ],
)
def test_impossible_layouts(make, message):
    with pytest.raises(UserError, match=message):
        make()
