import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
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
