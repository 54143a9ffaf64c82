"""Parameters for tests: every leaf random, so that nothing hides behind a zero."""

import math

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.nn.functional import Network, abstract_params


def random_params(network: Network, seed: int = 0) -> Params:
    """Kernels of deviation 1 / sqrt(fan-in), the rest about 0 or (factors) 1."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        if len(leaf.shape) > 1:
            return noise / np.float32(math.sqrt(math.prod(leaf.shape[:-1])))
        middle = 1 if path[-1].key in ("scale", "variance") else 0
        return middle + np.float32(0.1) * noise

    return jax.tree_util.tree_map_with_path(draw, abstract_params(network))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
