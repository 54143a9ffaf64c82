"""Under bfloat16 networks compute in it; what is kept and summed is float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training import parallel
from diffusion_audio.training.parallel import ParallelConfig
from tests.recipes import tiny
from tests.tasks import make_task


def equations(jaxpr):
    """All equations of a program, those of its parts among them."""
    for equation in jaxpr.eqns:
        yield equation
        for part in jaxprs_in_params(equation.params):
            yield from equations(part)


@pytest.fixture(scope="module")
def traced():
    """A diffusion step in bfloat16: its program, state, new state and metrics."""
    config = tiny("diffusion", "tones")
    config.denoiser.update(in_channels=64, out_channels=64, dtype="bfloat16")
    config.conditioners.text.dtype = "bfloat16"
    task = make_task(resolve(config))
    batch = {
        "audio": np.zeros((4, round(config.data.seconds * 16_000)), np.float32),
        "index": np.zeros(4, np.int32),
        **task.inputs([{"caption": "a tone"}] * 4),
    }
    mesh = parallel.make_mesh(ParallelConfig(data=1))
    step = parallel.compile_step(task.step, mesh)
    key = jax.random.key(0)
    state = jax.eval_shape(task.init, key, batch)
    program, (after, metrics) = jax.make_jaxpr(step, return_shape=True)(
        state, batch, key
    )
    return program.jaxpr, state, after, metrics


def test_parameters_moments_averages_and_metrics_are_float32(traced):
    _, state, after, metrics = traced
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state, after, metrics))}
    assert kinds == {jnp.dtype("float32"), jnp.dtype("int32")}
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == jax.tree.map(
        lambda a: (a.shape, a.dtype), after
    )


def test_convolutions_compute_in_bfloat16_both_ways(traced):
    kinds = [
        tuple(str(variable.aval.dtype) for variable in equation.invars)
        for equation in equations(traced[0])
        if equation.primitive.name == "conv_general_dilated"
    ]
    assert len(kinds) > 3 * 8  # forwards, and of inputs and kernels backwards
    assert set(kinds) == {("bfloat16", "bfloat16")}
