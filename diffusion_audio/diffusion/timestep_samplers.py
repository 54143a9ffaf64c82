"""Timestep samplers: at which noise levels a network is trained.

A sampler draws shares ``u`` of the way from data to noise, in (0, 1); a process makes
times of them (``Process.time``). It is three pure functions on a state, a dict of
arrays (empty for all but one) that is carried in the training state:

``init()``                      the state before the first draw.
``draw(state, key, indices)``   shares and weights, [B] each, for the examples at these
                                places of the global batch: the same on any number of
                                devices.
``observe(u, losses)``          what is to be remembered of these losses, as means over
                                the examples, so that devices can average it.
``update(state, observed)``     the next state, from such means of the global batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key
from diffusion_audio.diffusion.choice import choose, positive
from diffusion_audio.diffusion.noise import example_keys
from diffusion_audio.errors import UserError

EDGE = 1e-5  # how far draws stay from 0 and 1, where a flow has no noise or no data

Memory = dict[str, Array]


class TimestepSampler(NamedTuple):
    """Draws of timesteps; see the top of the file."""

    init: Callable[[], Memory]
    draw: Callable[[Memory, Key, Array], tuple[Array, Array]]
    observe: Callable[[Array, Array], Memory]
    update: Callable[[Memory, Memory], Memory]


def uniform(batch_size: int) -> TimestepSampler:
    """Each example's own uniform draw; Ho et al. 2020, algorithm 1."""
    del batch_size
    return _forgetful(lambda key, indices: _uniform(key, indices))


def stratified(batch_size: int) -> TimestepSampler:
    """One draw for the whole batch, its examples spread evenly from it.

    The low-discrepancy sampler of Kingma et al. 2021 (VDM), appendix I.1:
    u = (u_0 + i / B) mod 1. Each u is uniform, and the mean over a batch varies less
    than with separate draws.
    """

    def draw(key: Key, indices: Array) -> Array:
        offset = jax.random.uniform(key)
        return (offset + indices.astype(jnp.float32) / batch_size) % 1.0

    return _forgetful(draw)


def logit_normal(
    batch_size: int, location: float = 0.0, scale: float = 1.0
) -> TimestepSampler:
    """The middle of the way more often; Esser et al. 2024, eq. 19.

    u = sigmoid(n) with n normal. On a rectified flow log SNR is then normal with
    deviation 2 scale, like EDM's noise levels.

    Args:
        batch_size: not used.
        location: mean of n; above 0 for more noise.
        scale: deviation of n.
    """
    del batch_size
    positive("logit_normal times", scale=scale)

    def draw(key: Key, indices: Array) -> Array:
        normal = jax.vmap(jax.random.normal)(example_keys(key, indices))
        return jax.nn.sigmoid(location + scale * normal)

    return _forgetful(draw)


def importance(
    batch_size: int, bins: int = 100, memory: int = 10, floor: float = 1e-3
) -> TimestepSampler:
    """Times whose losses are large more often; Nichol & Dhariwal 2021, eq. 18.

    p is proportional to the root of the mean squared loss, and a draw weighs 1 / p, so
    the expected loss stays that of uniform times. Until each bin has been seen
    ``memory`` times, draws are uniform. There the last 10 losses of each of T steps are
    kept; here bins, so that every process has them, and a running mean, so that devices
    exchange two numbers a bin and no list.

    Args:
        batch_size: of all devices.
        bins: equal parts of the way that share one mean.
        memory: about how many of the last losses of a bin make its mean.
        floor: share of the draws that stays uniform.
    """
    positive("importance times", bins=bins, memory=memory)
    if not 0 < floor <= 1:
        raise UserError(f"importance times: floor must lie in (0, 1], got {floor}")

    def init() -> Memory:
        return {"square": jnp.zeros(bins), "seen": jnp.zeros(bins)}

    def draw(state: Memory, key: Key, indices: Array) -> tuple[Array, Array]:
        root = jnp.sqrt(state["square"])
        share = root / jnp.maximum(root.sum(), jnp.finfo(jnp.float32).tiny)
        learned = (1 - floor) * share + floor / bins
        p = jnp.where(jnp.all(state["seen"] >= memory), learned, 1 / bins)
        which, within = jax.random.split(key)
        keys = example_keys(which, indices)
        chosen = jax.vmap(lambda k: jax.random.categorical(k, jnp.log(p)))(keys)
        u = (chosen.astype(jnp.float32) + _uniform(within, indices)) / bins
        return jnp.clip(u, EDGE, 1 - EDGE), 1 / (bins * p[chosen])

    def observe(u: Array, losses: Array) -> Memory:
        losses = jax.lax.stop_gradient(losses)
        among = jax.nn.one_hot((u * bins).astype(jnp.int32), bins)  # [B, bins]
        square = jnp.square(losses)[:, None] * among
        return {"square": square.mean(axis=0), "seen": among.mean(axis=0)}

    def update(state: Memory, observed: Memory) -> Memory:
        before = jnp.minimum(state["seen"], memory)
        total = before * state["square"] + batch_size * observed["square"]
        count = before + batch_size * observed["seen"]
        mean = jnp.where(count > 0, total / jnp.maximum(count, 1.0), 0.0)
        return {"square": mean, "seen": count}

    return TimestepSampler(init, draw, observe, update)


TIMESTEP_SAMPLERS = {
    f.__name__: f for f in (uniform, stratified, logit_normal, importance)
}


def make_timestep_sampler(
    name: str, batch_size: int, **options: Any
) -> TimestepSampler:
    """A timestep sampler by name.

    Args:
        name: one of ``TIMESTEP_SAMPLERS``.
        batch_size: examples of a batch, over all devices.
        **options: of that sampler.

    Raises:
        UserError: an unknown name or option, or one out of its range.
    """
    sampler: TimestepSampler = choose(
        "timestep sampler", TIMESTEP_SAMPLERS, name, options, batch_size
    )
    return sampler


def _uniform(key: Key, indices: Array) -> Array:
    return jax.vmap(jax.random.uniform)(example_keys(key, indices))


def _forgetful(draw: Callable[[Key, Array], Array]) -> TimestepSampler:
    """A sampler whose draws depend on nothing before, and all weigh 1."""

    def weighed(state: Memory, key: Key, indices: Array) -> tuple[Array, Array]:
        u = jnp.clip(draw(key, indices), EDGE, 1 - EDGE)
        return u, jnp.ones_like(u)

    return TimestepSampler(
        init=dict,
        draw=weighed,
        observe=lambda u, losses: {},
        update=lambda state, observed: state,
    )
