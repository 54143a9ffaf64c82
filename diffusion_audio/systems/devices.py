"""The devices of this process as one: parameters whole on each, a batch split."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

ROWS = "data"


def local_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Devices over which the rows of a batch are split; this process's where None."""
    devices = jax.local_devices() if devices is None else devices
    auto = (AxisType.Auto,)
    return jax.make_mesh((len(devices),), (ROWS,), axis_types=auto, devices=devices)


def everywhere(mesh: Mesh) -> NamedSharding:
    """The placement of an array that is whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_devices(
    function: Callable[..., Any], mesh: Mesh | None, whole: int
) -> Callable[..., Any]:
    """A function of rows, each device making its own; to be called under ``jax.jit``.

    The devices tell each other nothing, so a row is made as on one device of a batch
    that is so many times smaller.

    Args:
        function: trees of arrays to a tree of arrays [b, ...].
        mesh: of `local_mesh`; the function itself where None or of one device.
        whole: how many arguments are the same on all, the first ones; those after them
            are trees of arrays [b, ...], of a multiple of the devices.
    """
    if mesh is None or mesh.size == 1:
        return function

    def split(*args: Any) -> Any:
        rows = PartitionSpec(ROWS)
        specs = (PartitionSpec(),) * whole + (rows,) * (len(args) - whole)
        shared = jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False
        )
        return shared(*args)

    return split
