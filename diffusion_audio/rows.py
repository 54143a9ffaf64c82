"""What XLA does not split over devices by itself, done by the rows of a batch.

It splits products and convolutions like what they are given. Of Fourier transforms and
of convolutions in groups it gathers the whole batch on every device, whose work then
grows with their number.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from diffusion_audio.aliases import Array


def split_over(mesh: Mesh) -> AbstractContextManager[Any]:
    """Where functions are traced whose batches lie in rows on the devices of a mesh."""
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def by_rows(
    function: Callable[..., Any],
    split: tuple[Array, ...],
    whole: tuple[Array, ...] = (),
    *,
    sums: bool = False,
) -> Any:
    """A function of a batch, each device making its own rows.

    The function itself where one device has them all, or they cannot be shared evenly.

    Args:
        function: of ``split`` and then ``whole``.
        split: arrays [B, ...] whose rows are made independently.
        whole: arrays that are the same on all devices.
        sums: it returns rows [B, ...] and sums over them, and not rows alone.
    """
    mesh = _mesh()
    if mesh is None or any(x.shape[0] % mesh.size for x in split):
        return function(*split, *whole)
    rows, every = PartitionSpec(mesh.axis_names), PartitionSpec()

    def own(*args: Array) -> Any:
        if not sums:
            return function(*args)
        made, total = function(*args)
        return made, jax.lax.psum(total, mesh.axis_names)

    return jax.shard_map(
        own,
        in_specs=(rows,) * len(split) + (every,) * len(whole),
        out_specs=(rows, every) if sums else rows,
        check_vma=False,
    )(*split, *whole)


def mean_by_rows(
    function: Callable[..., Any], batch: Any, *whole: Any, parts: int = 1
) -> Any:
    """A mean over a batch, each device making that of its own rows; added up once.

    The function itself where one device has them all, or they cannot be shared evenly.

    Args:
        function: of a batch and then ``whole``, to means over its examples.
        batch: a tree of arrays [B, ...].
        whole: trees of arrays that are the same on all devices.
        parts: equal pieces that the function cuts a batch into.
    """
    mesh = _mesh()
    if mesh is None or any(
        x.shape[0] % (mesh.size * parts) for x in jax.tree.leaves(batch)
    ):
        return function(batch, *whole)
    rows, every = PartitionSpec(mesh.axis_names), PartitionSpec()
    return jax.shard_map(
        lambda *args: jax.lax.pmean(function(*args), mesh.axis_names),
        in_specs=(rows,) + (every,) * len(whole),
        out_specs=every,
        check_vma=False,
    )(batch, *whole)


def whole(tree: Any) -> Any:
    """Arrays that all devices of the mesh have whole, whatever they are made of.

    What is split over devices is gathered; a compiler left alone may compute with
    the parts of a parameter, and send activations around in its place.
    """
    if _mesh() is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def _mesh() -> AbstractMesh | None:
    """The mesh of `split_over`, where a function is not a device's own part already."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if mesh.size > 1 and mesh.are_all_axes_auto else None
