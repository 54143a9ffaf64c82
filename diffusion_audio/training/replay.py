"""A past step of a run, computed again to the bit: its batch, its draws, its numbers.

Nothing of a step is kept, and nothing needs to be: what it draws is addressed by its
number, and the data by their position. So the newest checkpoint before it, or the start
of the run, and the steps from there on are all that it takes. The bits are those of the
run on the same processor, devices and versions.
"""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.errors import UserError
from diffusion_audio.progress import MakeView, ProgressView
from diffusion_audio.runs import numerics
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.components import load_components
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.same_run import begun
from diffusion_audio.runs.session import PROVENANCE, sessions
from diffusion_audio.runs.workdir import provenance, read_config
from diffusion_audio.settings import settings
from diffusion_audio.training import gradients, loop, resume, run
from diffusion_audio.training.non_finite import GuardedStep
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    place_batch,
    replicate,
)


class Replayed(NamedTuple):
    """A step and what it was made of.

    Attributes:
        step: its number.
        start: the checkpoint that it was computed from; 0 for the start of the run.
        clips: ids of the batch.
        batch: arrays [B, ...] by name, those of groups as ``group/name``.
        drawn: what it drew, [B, ...] by name; see `training.task.Task`.
        metrics: loss, gradient norm and all else that a step tells.
        gradients: where one of them is not finite, of each parameter whether its
            gradient is (`gradients.finite`); else empty.
        logged: the step's row in ``metrics.jsonl``, None where it has none.
        sample_rate: of ``batch["audio"]``, in Hz.
    """

    step: int
    start: int
    clips: tuple[str, ...]
    batch: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]
    metrics: dict[str, float]
    gradients: dict[str, bool]
    logged: dict[str, Any] | None
    sample_rate: int

    @property
    def broken(self) -> list[str]:
        """Parameters whose gradients are not finite."""
        return [name for name, good in self.gradients.items() if not good]

    @property
    def differences(self) -> dict[str, tuple[float, float]]:
        """Metrics that the row has otherwise: there and here."""
        return {
            name: (self.logged[name], value)
            for name, value in self.metrics.items()
            if self.logged is not None
            and name in self.logged
            and not _equal(self.logged[name], value)
        }


def replay(
    workdir: str | Path, step: int, progress: MakeView = ProgressView
) -> Replayed:
    """Computes a step of a run again; the run stays as it is.

    Args:
        workdir: of the run.
        step: its number, the first is 1.
        progress: makes the view of how far it is.

    Raises:
        UserError: there is no such step or run, or its data have changed.
    """
    from diffusion_audio.audio.decoders import decoding

    workdir = Path(workdir)
    config = read_config(workdir)
    cfg = settings(loop.TrainConfig, config, "train")
    parallel = settings(ParallelConfig, config, "parallel")
    checkpoints = Checkpoints(workdir / "checkpoints")
    rows = read_metrics(workdir)
    _require_taken(workdir, step, rows)
    _warn_of_other_bits(workdir, step)
    workers = settings(DataConfig, config, "data").decode_workers
    with decoding(workers) as decode, tempfile.TemporaryDirectory() as spare:
        made = run.assemble(config, workdir, Extras(workdir), decode)
        latents = Path(spare) / "latents"
        stream = run.training_batches(made, config, workdir, spare=latents)
        mesh, key = make_mesh(parallel), jax.random.key(config["seed"])

        def frozen() -> Params:
            return load_components(config, workdir)

        found = checkpoints.good_before(step)
        state, left_out = resume.start(
            made.task,
            key,
            mesh,
            checkpoints,
            found,
            made.task.components or frozen,
            stream,
        )
        checkpoints.close()
        start, limit = found or 0, max(cfg.allowed, left_out)
        step_fn = GuardedStep(made.task.step, mesh, parallel.mode, limit, left_out)
        view = progress("replay", step - start, 0)
        for done in range(start, step - 1):
            state, _, skipped = step_fn(state, place_batch(next(stream), mesh), key)
            skipped.block_until_ready()
            view.update(done + 1 - start)
        batch = next(stream)
        placed = place_batch(batch, mesh)
        drawn = jax.jit(made.task.drawn)(state, placed, key)
        state, metrics, _ = step_fn(state, placed, key)
        finite: dict[str, bool] = {}
        if not all(np.isfinite(float(value)) for value in metrics.values()):
            # The step has left the state as it was, but for the number.
            state["step"] = replicate(jnp.int32(step - 1), mesh)
            finite = gradients.finite(
                made.task.step, mesh, parallel.mode, state, placed, key
            )
        view.close()
        return Replayed(
            step,
            start,
            stream.ids,
            _flat(batch),
            _flat(jax.device_get(drawn)),
            {name: float(value) for name, value in metrics.items()},
            finite,
            next((r for r in rows if (r["step"], r["split"]) == (step, "train")), None),
            made.spec.sample_rate,
        )


def _require_taken(workdir: Path, step: int, rows: list[dict[str, Any]]) -> None:
    """Refuses a step that the run has not come to."""
    if not rows and not begun(workdir):
        raise UserError(f"{workdir} has not taken a step yet; train it first")
    saved = [
        session["last_step"]
        for session in (sessions(workdir) if (workdir / PROVENANCE).exists() else [])
    ]
    last = max([row["step"] for row in rows] + saved, default=0)
    if not 1 <= step <= last:
        raise UserError(
            f"{workdir} has taken {last} steps, so there is no step {step}; give one "
            f"from 1 to {last}"
        )


def _warn_of_other_bits(workdir: Path, step: int) -> None:
    made = sessions(workdir) if (workdir / PROVENANCE).exists() else []
    of_step = [s for s in made if s["first_step"] <= step]
    if of_step and (changed := numerics.changed(of_step[-1], provenance())):
        logging.warning("last bits may differ from those of the run: %s", changed)


def _flat(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays by name, of groups as ``group/name``."""
    leaves = jax.tree_util.tree_leaves_with_path(dict(tree))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in leaves
    }


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
