"""What one kind of network is to `benchmarks.components`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.nn.functional import Network

Sizes = Mapping[str, Any]
Inputs = dict[str, np.ndarray]


class Kind(NamedTuple):
    """One kind of network.

    Attributes:
        build: our network of a config.
        inputs: arrays of a config and sizes, from a generator of random numbers.
        ours: ``ours(network, params, inputs) -> array or tuple of them``, to be jitted.
        model: the PyTorch network of the same config.
        theirs: ``theirs(model, inputs)`` gives the tensors of ``ours``, in our layout.
        read: our parameters from the arrays of a config's model.
        bound: on the relative error of any output in float32.
        half: whether PyTorch's own error in bfloat16 is found, and bounds ours.
    """

    build: Callable[[Any], Network]
    inputs: Callable[[Any, Sizes, np.random.Generator], Inputs]
    ours: Callable[..., Any]
    model: Callable[[Any], Any]
    theirs: Callable[..., Any]
    read: Callable[[Any, Mapping[str, np.ndarray]], Any]
    bound: float = 1e-4
    half: bool = True


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Standard normal float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def ragged(rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
    """A mask [B, L]: the first text is the longest, others end somewhere."""
    ends = rng.integers(1, length + 1, batch)
    ends[0] = length
    return np.arange(length) < ends[:, None]


def transformer(class_name: str, config_name: str, config: Mapping[str, Any]) -> Any:
    """A network of transformers by the names of its classes."""
    import transformers

    made = getattr(transformers, config_name)(**config)
    return getattr(transformers, class_name)(made)
