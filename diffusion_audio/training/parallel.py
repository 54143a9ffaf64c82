"""Where arrays live and how a step is compiled: the only place that knows devices.

Two axes: ``data`` splits the batch and ``fsdp`` splits the batch and also the
large arrays of the state (parameters, moments, averages), which the compiler
gathers where they are used. Under ``pmap`` there is one axis and every device
keeps the whole state.
"""

import dataclasses
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from diffusion_audio import rows
from diffusion_audio.aliases import Array, Batch, Key, Metrics, State
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.systems.devices import everywhere

MODES = ("jit", "pmap")
SMALLEST_SPLIT = 2**14  # elements; smaller arrays are cheaper whole

Step = Callable[[State, Batch, Key], tuple[State, Metrics]]

# The axis that a step is traced for under pmap; None where the compiler splits it.
_AXIS: ContextVar[str | None] = ContextVar("axis", default=None)


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How devices are used.

    Attributes:
        mode: ``jit`` (the compiler splits the program) or ``pmap``.
        data: size of the data axis; -1 for all devices that are left.
        fsdp: size of the axis that also splits the state.
    """

    mode: str = "jit"
    data: int = -1
    fsdp: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("parallel mode", self.mode, MODES)
        if self.mode == "pmap" and self.fsdp != 1:
            raise UserError(
                f"pmap keeps the whole state on every device, so fsdp must be 1, not "
                f"{self.fsdp}; use config.parallel.mode=jit"
            )
        if self.mode == "pmap" and jax.process_count() > 1:
            raise UserError("pmap runs in one process; use config.parallel.mode=jit")


def make_mesh(cfg: ParallelConfig) -> Mesh:
    """The mesh of devices: axes ``data`` and ``fsdp``, or ``data`` alone for pmap.

    Raises:
        UserError: the sizes do not fit the number of devices.
    """
    devices = jax.device_count()
    data = devices // max(1, cfg.fsdp) if cfg.data == -1 else cfg.data
    whole = cfg.data != -1 or devices % max(1, cfg.fsdp) == 0
    if jax.process_count() > 1:  # each has its part of the data, for its own devices
        whole = whole and data * cfg.fsdp == devices
    if min(data, cfg.fsdp) < 1 or data * cfg.fsdp > devices or not whole:
        raise UserError(
            f"a mesh of data={cfg.data} by fsdp={cfg.fsdp} does not fit {devices} "
            "device(s); config.parallel.data=-1 with config.parallel.fsdp=1 takes all"
        )
    axes = {"data": data} | ({"fsdp": cfg.fsdp} if cfg.mode == "jit" else {})
    # Auto axes: under explicit ones the gathers of table lookups need annotations.
    return jax.make_mesh(
        tuple(axes.values()),
        tuple(axes),
        axis_types=(AxisType.Auto,) * len(axes),
        devices=jax.devices()[: data * cfg.fsdp],
    )


def state_shardings(state: State, mesh: Mesh) -> Any:
    """A sharding for every leaf: its longest divisible axis split over ``fsdp``."""
    size = mesh.shape.get("fsdp", 1)

    def rule(leaf: Any) -> NamedSharding:
        spec: list[str | None] = [None] * leaf.ndim
        axes = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % size == 0]
        if size > 1 and axes and np.prod(leaf.shape) >= SMALLEST_SPLIT:
            spec[max(axes, key=lambda axis: leaf.shape[axis])] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(rule, state)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Arrays of this process, whole on every device of the mesh."""
    if jax.process_count() > 1:  # devices of others take what their own process has
        tree = jax.tree.map(np.asarray, tree)
    return jax.device_put(tree, everywhere(mesh))


def to_host(array: Array) -> np.ndarray:
    """An array from the devices of all processes, in the memory of this one.

    To be called by all of them.
    """
    if jax.process_count() == 1 or array.is_fully_replicated:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)


def require_divisible(batch_size: int, mesh: Mesh, parts: int = 1) -> None:
    """Refuses a batch that cannot be split evenly.

    Args:
        batch_size: examples, of all processes.
        mesh: the devices that share it.
        parts: that it is computed in, one after the other; see `gradients`.

    Raises:
        UserError: naming a size that fits.
    """
    if batch_size % mesh.size:
        raise UserError(
            f"a batch of {batch_size} examples cannot be split over {mesh.size} "
            f"devices; make config.data.batch_size a multiple of {mesh.size}, or use "
            "fewer (config.parallel.data)"
        )
    # Under pmap, whose mesh has one axis, each device has its own parts.
    share = batch_size if "fsdp" in mesh.shape else batch_size // mesh.size
    if share % parts:
        raise UserError(
            f"a batch of {share} examples cannot be computed in {parts} equal parts; "
            "change config.data.batch_size or config.train.accumulate"
        )


def place_batch(batch: dict[str, Any], mesh: Mesh) -> Batch:
    """This process's part of a batch, as part of the global one on the devices.

    Its ``index``, int32 [B], is each example's position in the global batch.

    Raises:
        UserError: the examples cannot be split evenly over the devices.
    """
    local = len(jax.tree.leaves(batch)[0])
    require_divisible(local * jax.process_count(), mesh)
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.tree.map(
        lambda value: jax.make_array_from_process_local_data(sharding, value), batch
    )


def mean_over_devices(tree: Any) -> Any:
    """The mean over all devices of what a step computes of its part of the batch.

    Gradients and metrics go through it before they are used. Under pmap each device
    has computed its own; under jit a step is of the whole batch, and this does nothing.
    """
    axis = _AXIS.get()
    return tree if axis is None else jax.lax.pmean(tree, axis)


def compile_step(step: Step, mesh: Mesh, mode: str = "jit") -> Step:
    """A step as one compiled program on all devices of the mesh; donates the state.

    Args:
        step: ``step(state, batch, key)``, written as for one device, that takes
            gradients and metrics through `mean_over_devices`.
        mesh: the devices.
        mode: ``jit`` or ``pmap``; both give the same numbers, where a loss is a
            mean over examples.

    Returns:
        ``step(state, batch, key)`` on a state placed by `state_shardings` and a
        batch placed by `place_batch`.
    """
    if mode == "jit":

        def single(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
            shardings = state_shardings(state, mesh)
            with rows.split_over(mesh):
                # What networks compute with; averages and moments stay split.
                used = rows.whole({name: state[name] for name in ("params", "frozen")})
                state, metrics = step(state | used, batch, key)
            # The new state stays where the old one was: the same program again.
            return jax.lax.with_sharding_constraint(state, shardings), metrics

        return jax.jit(single, donate_argnums=0)

    def shard(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        token = _AXIS.set("data")
        try:
            return step(state, batch, key)
        finally:
            _AXIS.reset(token)

    mapped = jax.pmap(
        shard,
        axis_name="data",
        in_axes=(None, 0, None),
        out_axes=None,
        donate_argnums=0,
        devices=list(mesh.devices.flat),
    )

    def split(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        parts = jax.tree.map(lambda x: x.reshape(mesh.size, -1, *x.shape[1:]), batch)
        return mapped(state, parts, key)

    return split
