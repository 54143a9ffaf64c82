"""The bridge from modules to functions: declare with nnx, use as init and apply.

Everything outside ``nn`` and ``models`` sees nested dicts of arrays and pure
functions, so plain ``jax.jit``, ``jax.grad``, optax and orbax work on them.
"""

import functools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Apply, Array, Key, Params
from diffusion_audio.errors import UserError


class Network(NamedTuple):
    """A network as two pure functions.

    Attributes:
        init: ``init(key) -> params``, a nested dict with string keys.
        apply: ``apply(params, *inputs, method="__call__", **options)``.
        shapes: of what ``init`` returns, where they are known; see `abstract_params`.
    """

    init: Callable[[Key], Params]
    apply: Apply
    shapes: Params | None = None


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


def _noise(key: Key, size: int, chunk: int = 2**16) -> Array:
    """Standard normal [size or more], drawn in a loop: quick to compile."""

    def draw(index: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, index), (chunk,))

    return jax.lax.map(draw, jnp.arange(-(-size // chunk))).reshape(-1)


def _nested(leaves: Iterable[tuple[Any, Any]]) -> Params:
    """A dict of dicts from leaves and their paths."""
    params: Params = {}
    for path, leaf in leaves:
        *parents, name = map(str, path)
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return params


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Turns a module into a pair of pure functions.

    A parameter that carries ``std`` in its metadata (``nnx.Param(zeros, std=0.1)``)
    starts as normal noise of that deviation, whatever it holds. All such noise is one
    draw: XLA on the CPU takes a quarter of a second to compile each separate one.

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
    shapes = _nested(
        (path, leaf.get_value()) for path, leaf in nnx.to_flat_state(abstract)
    )

    @jax.jit
    def init(key: Key) -> Params:
        leaves = nnx.to_flat_state(nnx.split(build(key))[1])
        sizes = [
            leaf[...].size if "std" in leaf.get_metadata() else 0 for _, leaf in leaves
        ]
        noise = _noise(jax.random.fold_in(key, 0), sum(sizes))
        values, start = [], 0
        for (path, leaf), size in zip(leaves, sizes, strict=True):
            value = leaf[...]
            if size:
                drawn = noise[start : start + size].reshape(value.shape)
                value = (drawn * leaf.get_metadata()["std"]).astype(value.dtype)
                start += size
            values.append((path, value))
        return _nested(values)

    def apply(
        params: Params, *inputs: Any, method: str = "__call__", **options: Any
    ) -> Any:
        leaves = []
        for path in paths:
            node: Any = params
            for name in map(str, path):
                if not isinstance(node, Mapping) or name not in node:
                    where = "/".join(map(str, path))
                    raise UserError(
                        f"expected a parameter {where}, which this tree of "
                        "parameters has not; was it made for another config?"
                    )
                node = node[name]
            leaves.append((path, nnx.Param(node)))
        model = nnx.merge(graph, nnx.from_flat_state(leaves))
        return getattr(model, method)(*inputs, **options)

    return Network(init, apply, shapes)


@functools.lru_cache(maxsize=64)
def network_of(module: Callable[[Any, nnx.Rngs], nnx.Module], cfg: Hashable) -> Network:
    """`functional` of a module and its config, made once for each.

    Reading weights, comparing shapes and running each need the network; to make its
    module takes seconds for a published UNet.

    Args:
        module: a class, or what else makes a module of its config and random streams.
        cfg: its frozen config.
    """
    return functional(lambda rngs: module(cfg, rngs))


def abstract_params(network: Network) -> Params:
    """Shapes and types of a network's parameters, with nothing computed.

    Those that the network knows: to trace ``init`` makes the module a second time,
    which takes seconds for a published UNet.
    """
    if network.shapes is None:
        return jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf, network.shapes)


def count(params: Params) -> int:
    """Number of scalar parameters, of real or abstract arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
