"""Cnn14: its published size, and what is refused."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.nn.functional import abstract_params

CFG = Cnn14Config((4, 8), n_mels=6, embedding=5, classes=3)


def test_published_size():
    """Without statistics, which PyTorch does not count as parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(
        abstract_params(build_cnn14(Cnn14Config()))
    )
    sizes = [x.size for path, x in leaves if path[-1].key not in ("mean", "variance")]
    assert sum(sizes) == 80_753_615


@pytest.mark.parametrize("shape", [(1, 9, 5), (9, 6), (1, 1, 6)])
def test_mels_that_are_refused(shape):
    network = build_cnn14(CFG)
    with pytest.raises(UserError, match=r"mels \[B, T, 6\] of 2 frames or more, got"):
        jax.eval_shape(
            network.apply, abstract_params(network), np.zeros(shape, np.float32)
        )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"widths": ()}, "one block or more"),
        ({"n_mels": 31}, "n_mels of 32 or more, as they are halved 5 times"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_configs_that_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        Cnn14Config(**options)


def test_half_precision_is_near():
    half = Cnn14Config((4, 8), n_mels=6, embedding=5, classes=3, dtype="bfloat16")
    params = build_cnn14(CFG).init(jax.random.key(0))
    mel = np.random.default_rng(0).normal(size=(2, 20, 6)).astype(np.float32)
    near, exact = (jax.jit(build_cnn14(cfg).apply)(params, mel) for cfg in (half, CFG))
    for mine, other in zip(near, exact, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, atol=0.03 * np.abs(other).max())
