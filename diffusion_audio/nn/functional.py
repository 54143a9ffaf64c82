"""The bridge from modules to functions: declare with nnx, use as init and apply.

Everything outside ``nn`` and ``models`` sees nested dicts of arrays and pure
functions, so plain ``jax.jit``, ``jax.grad``, optax and orbax work on them.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

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


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Turns a module into a pair of pure functions.

    Args:
        make: builds the module from its random streams. The module may hold
            ``nnx.Param`` only: no statistics and no random state.

    Returns:
        The network; nothing is computed until ``init`` is called.
    """
    module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graph, abstract = nnx.split(module)
    paths = [path for path, _ in nnx.to_flat_state(abstract)]

    def init(key: Key) -> Params:
        _, state = nnx.split(make(nnx.Rngs(key)))
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
