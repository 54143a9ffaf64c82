"""A training run from a config: data, task, loop and work directory put together."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from diffusion_audio.aliases import State
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError
from diffusion_audio.progress import MakeView, ProgressView
from diffusion_audio.runs import extras, same_run
from diffusion_audio.runs.components import component_extras, load_components
from diffusion_audio.runs.lock import alone
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.session import Session
from diffusion_audio.runs.workdir import CONFIG, write_json
from diffusion_audio.settings import settings
from diffusion_audio.training import loop, tasks
from diffusion_audio.training.latent_cache import latent_cache
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    require_divisible,
)
from diffusion_audio.training.task import Data, Task

# Settings of the data that a task may not use, and what they are.
OF_SOME_TASKS = {
    "labels": "what a classifier learns",
    "mels": "the input of a vocoder",
    "mel_axes": "the order of the input of a vocoder",
    "cache_latents": "for what is trained on latents",
}


def train(
    config: ConfigDict | Mapping[str, Any],
    workdir: str | Path,
    progress: MakeView = ProgressView,
    *,
    accept_changed_data: bool = False,
    allow_fresh: bool = False,
) -> State:
    """Trains what a config says in a work directory, or goes on there.

    Args:
        config: not resolved yet.
        workdir: made if need be.
        progress: makes the view of how far it is; see `loop.train`.
        accept_changed_data: go on though the clips are not those the run began with.
        allow_fresh: start over where the checkpoints of a run are lost.

    Raises:
        UserError: anything a user can mend, in one line.
        Interrupted: a signal came; the state is saved.
    """
    from diffusion_audio.data.pipeline import batches

    workdir = Path(workdir)
    resolved = resolve(config, workdir)
    spec = AudioSpec.from_config(resolved["audio"])
    data = settings(DataConfig, resolved, "data")
    parallel = settings(ParallelConfig, resolved, "parallel")
    loop_config = settings(loop.TrainConfig, resolved, "train")
    require_divisible(data.batch_size, make_mesh(parallel), loop_config.accumulate)
    goes_on, newest = same_run.begun(workdir), same_run.weights_hash(workdir)
    if goes_on and not (workdir / CONFIG).exists():
        raise UserError(
            f"{workdir} lacks {CONFIG}, which its saved steps were trained with; "
            "restore it from a copy, or use another --workdir"
        )
    same_run.require_same(workdir, resolved)
    session = Session(workdir, {"config_hash": same_run.content_hash(resolved)})

    recipe = tasks.TABLE[resolved["task"]]
    configured = recipe.configure(resolved)
    source, held = open_splits(data, spec, workdir)
    kept = extras.Extras(workdir) if goes_on else component_extras(resolved)
    task = recipe.make(configured, Data(source, held, kept))
    require_used(data, task, resolved["task"])
    if data.mels:
        source, held = with_mels(data, spec, source, held)
    splits = {data.train_split: source, data.evaluation_split: held}
    record = same_run.require_same_data(
        workdir, data.source, splits, accept_changes=accept_changed_data
    )
    session.about["data"] = record.about()
    options: dict[str, Any] = {
        "batch_size": data.batch_size,
        "samples": round(data.seconds * spec.sample_rate),
        "inputs": task.inputs,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "skip_budget": data.skip_budget,
    }
    # What could be refused has been: a mistake takes no directory.
    with alone(workdir):
        if (same_run.begun(workdir), same_run.weights_hash(workdir)) != (
            goes_on,
            newest,
        ):
            raise UserError(
                f"another process has saved a step in {workdir} just now; run the "
                "same command again"
            )
        write_json(workdir / CONFIG, resolved)
        record.write(workdir)
        extras.write(workdir, task.extras)
        session.clock.lap("data")
        if data.cache_latents:
            source = latent_cache(
                task,
                resolved,
                workdir / "latents",
                source,
                samples=options["samples"],
                frozen=lambda: load_components(resolved, workdir, ("autoencoder",)),
            )
            session.clock.lap("encode")

        def evaluation_batches() -> Iterator[dict[str, np.ndarray]]:
            return batches(held, seed=0, **options)

        return loop.train(
            task,
            loop_config,
            parallel,
            key=jax.random.key(resolved["seed"]),
            workdir=workdir,
            frozen=task.components or (lambda: load_components(resolved)),
            batches=batches(source, seed=resolved["seed"], **options),
            evaluation_batches=evaluation_batches,
            sample_rate=spec.sample_rate,
            session=session,
            name=resolved["task"],
            progress=progress,
            allow_fresh=allow_fresh,
        )


def require_used(data: DataConfig, task: Task, name: str) -> None:
    """Refuses settings of the data that the task takes no notice of."""
    for setting, what in OF_SOME_TASKS.items():
        if getattr(data, setting) and setting not in task.uses:
            raise UserError(
                f"config.data.{setting} is {what}, but this is a {name} run: leave it "
                "empty"
            )


def open_splits(
    data: DataConfig, spec: AudioSpec, workdir: Path
) -> tuple[Source, Source]:
    """The clips to train and to evaluate on."""
    from diffusion_audio.data.open import open_source, parse

    kind, place = parse(data.source)
    both = kind == "folder" and workdir.exists() and os.path.exists(place)
    if both and workdir.samefile(place):
        raise UserError(
            f"{workdir} is the folder of the clips, which a run would write among; "
            "give another --workdir"
        )
    source = open_source(data.source, data.train_split, spec.sample_rate)
    return source, open_source(data.source, data.evaluation_split, spec.sample_rate)


def with_mels(
    data: DataConfig, spec: AudioSpec, source: Any, held: Any
) -> tuple[Any, Any]:
    """Both splits with the saved mels of their clips."""
    from diffusion_audio.data.mel_pairs import pair
    from diffusion_audio.data.mel_scale import check_scale

    source, held = pair(
        (source, held),
        os.path.expanduser(data.mels),
        spec,
        axes=data.mel_axes,
        skip_budget=data.skip_budget,
    )
    check_scale(spec, source)
    return source, held
