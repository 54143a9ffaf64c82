"""A training step before there is a state: its shapes, their places, its program.

Nothing is initialised, so a model may be planned that no memory here would hold.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Lowered

from diffusion_audio.aliases import Batch, State
from diffusion_audio.training.non_finite import SKIPPED, guarded
from diffusion_audio.training.parallel import compile_step, state_shardings
from diffusion_audio.training.task import Task


def abstract_batch(batch: Any, mesh: Mesh) -> Batch:
    """The shapes of a global batch, split over the devices.

    Args:
        batch: arrays or shapes [B, ...].
        mesh: the devices.
    """
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), batch
    )


def abstract_state(task: Task, batch: Batch, mesh: Mesh) -> State:
    """The shapes of a new state, in the places that training has them.

    Args:
        task: what is trained.
        batch: of `abstract_batch`.
        mesh: the devices.
    """
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        shapes,
        state_shardings(shapes, mesh),
    )


def lower_step(task: Task, batch: Batch, mesh: Mesh) -> Lowered:
    """The program of a step under ``jit``, to be compiled or looked into.

    It is the one that training runs, so its state has ``SKIPPED`` too.

    Args:
        task: what is trained.
        batch: of `abstract_batch`.
        mesh: the devices.
    """
    step: Any = compile_step(guarded(task.step, 0), mesh)
    count = jax.ShapeDtypeStruct(
        (), jnp.int32, sharding=NamedSharding(mesh, PartitionSpec())
    )
    state = abstract_state(task, batch, mesh) | {SKIPPED: count}
    return step.lower(state, batch, jax.random.key(0))


def held(tree: Any) -> int:
    """Bytes of arrays, or of shapes with places, on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )
