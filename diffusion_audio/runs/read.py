"""Reading what a run has learned: averages or parameters, and nothing beside them.

Never the optimiser's moments, nor what was not asked for; only what is read is
verified.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Sharding, SingleDeviceSharding

from diffusion_audio.aliases import Params, State
from diffusion_audio.errors import UserError
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.saved import Saved


class Weights(NamedTuple):
    """What was read of a run.

    Attributes:
        step: of the checkpoint.
        params: the parts that were asked for, averaged where the run has an average.
        frozen: what the run keeps but never trained.
    """

    step: int
    params: Params
    frozen: Params


def read_weights(
    workdir: str | Path,
    params: Mapping[str, Any],
    frozen: Mapping[str, Any] | None = None,
    place: Sharding | None = None,
    step: int | None = None,
) -> Weights:
    """Reads parts of a checkpoint of a run.

    Args:
        workdir: of the run.
        params: abstract parameters of the wanted parts, by name; in other types than
            they are saved in they are read as those.
        frozen: the same of what the run keeps but never trained.
        place: where they go; the first device where None.
        step: of the checkpoint, see `runs.chosen`; the newest good one where None.

    Raises:
        UserError: no run, nothing saved yet, all of it damaged, or of another model.
    """

    def wanted(saved: Saved) -> State:
        like: State = {_learned(saved): dict(params)}
        return like | ({"frozen": dict(frozen)} if frozen else {})

    step, state = _read(workdir, wanted, place, step)
    learned = state["ema"] if "ema" in state else state["params"]
    return Weights(step, learned, state.get("frozen", {}))


def read_part(
    workdir: str | Path,
    name: str,
    params: Params,
    place: Sharding | None = None,
    step: int | None = None,
) -> Params:
    """One part of a run, ready for use; see `read_weights`."""
    return read_weights(workdir, {name: params}, place=place, step=step).params[name]


def read_saved(
    workdir: str | Path, key: str, name: str, step: int | None = None
) -> Params:
    """What a checkpoint holds, whatever its shapes are.

    Args:
        workdir: of the run.
        key: of the state, such as ``"frozen"``.
        name: in its tree.
        step: of the checkpoint; the newest good one where None.

    Returns:
        The tree; an empty one where there is nothing.
    """

    def wanted(saved: Saved) -> State:
        tree = saved.get(key, {})
        return {key: {name: tree[name]}} if name in tree else {}

    state = _read(workdir, wanted, None, step)[1]
    return state[key][name] if state else {}


def _learned(saved: Saved) -> str:
    """The key of what a run is used with."""
    return "ema" if "ema" in saved else "params"


def _read(
    workdir: str | Path,
    wanted: Callable[[Saved], State],
    place: Sharding | None,
    step: int | None,
) -> tuple[int, State]:
    place = place or SingleDeviceSharding(jax.local_devices()[0])

    def placed(saved: Saved) -> State:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            wanted(saved),
        )

    with contextlib.closing(Checkpoints(Path(workdir) / "checkpoints")) as checkpoints:
        found = checkpoints.read(placed, step)
    if found is None:
        raise UserError(
            f"{workdir} has no finished checkpoint yet; train it first, or wait for "
            "its first checkpoint"
        )
    return found
