import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.training.optimizer import (
    MUON_RMS,
    OptimizerConfig,
    make_optimizer,
)
from diffusion_audio.training.update import apply_gradients


@pytest.mark.parametrize("biases", [False, True])
def test_what_weight_decay_acts_on(biases):
    cfg = OptimizerConfig(learning_rate=0.1, weight_decay=0.5, decay_biases=biases)
    optimizer = make_optimizer(cfg, steps=10)
    names = ("bias", "spectral_u")
    params = {"kernel": jnp.ones((2, 2))} | {name: jnp.ones(2) for name in names}
    still = {name: jnp.zeros_like(leaf) for name, leaf in params.items()}
    new, _ = apply_gradients(optimizer, still, optimizer.init(params), params)
    np.testing.assert_allclose(new["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_allclose(new["spectral_u"], 1.0)
    np.testing.assert_allclose(new["bias"], 0.95 if biases else 1.0, rtol=1e-6)


def updated(name, params, grads, **settings):
    optimizer = make_optimizer(OptimizerConfig(0.1, name=name, **settings), steps=10)
    return apply_gradients(optimizer, grads, optimizer.init(params), params)[0]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 8)])
def test_muon_makes_a_kernels_update_orthogonal(shape):
    gradient = jax.random.normal(jax.random.key(0), shape)
    params = {"layer": {"kernel": jnp.ones(shape)}}
    new = updated("muon", params, {"layer": {"kernel": gradient}})
    update = np.asarray(params["layer"]["kernel"] - new["layer"]["kernel"])
    # Orthogonal of 0.2 times the rate, whatever the shape: all singular values alike.
    matrix = update.reshape(-1, shape[-1])
    found = np.linalg.svd(matrix, compute_uv=False)
    expected = 0.1 * MUON_RMS * max(matrix.shape) ** 0.5
    assert np.all((0.6 * expected < found) & (found < 1.3 * expected))
    u, _, v = np.linalg.svd(np.asarray(gradient).reshape(matrix.shape), False)
    assert np.vdot(matrix, u @ v) > 0.9 * np.linalg.norm(matrix) * np.linalg.norm(u @ v)


def test_muon_leaves_what_is_no_kernel_to_adamw():
    params = {"embedding": jnp.ones((3, 2)), "bias": jnp.ones(3), "kernel": jnp.ones(3)}
    grads = jax.tree.map(lambda x: 0.5 * x, params)
    given = {"weight_decay": 0.5, "b2": 0.9}
    muon, adamw = (updated(n, params, grads, **given) for n in ("muon", "adamw"))
    jax.tree.map(np.testing.assert_array_equal, muon, adamw)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UserError, match=r"unknown optimizer 'mun'.*adamw, muon"):
        OptimizerConfig(name="mun")
