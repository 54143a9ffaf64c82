"""The bridge from modules to functions: declare with nnx, use as init and apply.

Everything outside ``nn`` and ``models`` sees nested dicts of arrays and pure
functions, so plain ``jax.jit``, ``jax.grad``, optax and orbax work on them.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
from flax import nnx

from diffusion_audio.aliases import Apply, Key, Params


class Network(NamedTuple):
    """A network as two pure functions.

    Attributes:
        init: ``init(key) -> params``, a nested dict with string keys.
        apply: ``apply(params, *inputs, method="__call__", **options)``.
    """

    init: Callable[[Key], Params]
    apply: Apply


class _Keys:
    """Stands in for ``nnx.Rngs`` while a module is made: one stream under any name.

    nnx counts in an array; under a trace each of its updates walks the whole trace so
    far, which takes minutes for a published UNet. This counts in Python.
    """

    def __init__(self, key: Key):
        self._key = key
        self._drawn = 0

    def __getattr__(self, name: str) -> "_Keys":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self) -> Key:
        self._drawn += 1
        return jax.random.fold_in(self._key, self._drawn)


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Turns a module into a pair of pure functions.

    Args:
        make: builds the module from its random streams. The module may hold
            ``nnx.Param`` only: no statistics and no random state.

    Returns:
        The network; nothing is computed until ``init`` is called.
    """

    def build(key: Key) -> nnx.Module:
        return make(cast(nnx.Rngs, _Keys(key)))

    module = nnx.eval_shape(lambda: build(jax.random.key(0)))
    graph, abstract = nnx.split(module)
    paths = [path for path, _ in nnx.to_flat_state(abstract)]

    def init(key: Key) -> Params:
        _, state = nnx.split(build(key))
        params: Params = {}
        for path, variable in nnx.to_flat_state(state):
            *parents, name = map(str, path)
            node = params
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = variable[...]
        return params

    def apply(
        params: Params, *inputs: Any, method: str = "__call__", **options: Any
    ) -> Any:
        leaves = []
        for path in paths:
            node: Any = params
            for name in path:
                node = node[str(name)]
            leaves.append((path, nnx.Param(node)))
        model = nnx.merge(graph, nnx.from_flat_state(leaves))
        return getattr(model, method)(*inputs, **options)

    return Network(init, apply)


def abstract_params(network: Network) -> Params:
    """Shapes and types of a network's parameters, with nothing computed."""
    return jax.eval_shape(network.init, jax.random.key(0))


def count(params: Params) -> int:
    """Number of scalar parameters, of real or abstract arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
