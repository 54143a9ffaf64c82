"""A training run from a config: data, task, loop and work directory put together."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from diffusion_audio.aliases import Params, State
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError
from diffusion_audio.progress import MakeView, NoView, ProgressView
from diffusion_audio.runs import extras, same_run, side_files
from diffusion_audio.runs.components import component_extras, load_components
from diffusion_audio.runs.lock import alone
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.session import Session
from diffusion_audio.runs.workdir import CONFIG, to_json
from diffusion_audio.settings import settings
from diffusion_audio.systems import processes
from diffusion_audio.training import loop, tasks
from diffusion_audio.training.expected import Band
from diffusion_audio.training.interruption import Stop
from diffusion_audio.training.latent_cache import latent_cache
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    require_divisible,
)
from diffusion_audio.training.profiling import profiled
from diffusion_audio.training.task import Data, Task

if TYPE_CHECKING:  # audio files need what is not everywhere that training runs
    from diffusion_audio.audio.decoders import Decode

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
    started: float | None = None,
    stop: Stop | None = None,
) -> State:
    """Trains what a config says in a work directory, or goes on there.

    Args:
        config: not resolved yet.
        workdir: made if need be.
        progress: makes the view of how far it is; see `loop.train`.
        accept_changed_data: go on though the clips are not those the run began with.
        allow_fresh: start over where the checkpoints of a run are lost.
        started: since when the session's time counts (`runs.session.process_started`);
            now if None.
        stop: asks to end early; see `loop.train`.

    Raises:
        UserError: anything a user can mend, in one line.
        Interrupted: a signal came; the state is saved.
    """
    from diffusion_audio.audio.decoders import decoding
    from diffusion_audio.data.pipeline import batches

    workdir = Path(workdir)
    resolved = resolve(config, workdir)
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
    band = Band(loop_config.expected, resolved)
    about = {"config_hash": same_run.content_hash(resolved)}
    session = Session(workdir, about, started)

    kept = extras.Extras(workdir) if goes_on else component_extras(resolved)
    with contextlib.ExitStack() as stack:
        decode = stack.enter_context(decoding(data.decode_workers))
        made = assemble(resolved, workdir, kept, decode, accept_changed_data)
        session.about["data"] = made.record.about()
        # What could be refused has been: a mistake takes no directory.
        profiler = stack.enter_context(profiled(workdir))  # the lock says whom to ask
        stack.enter_context(alone(workdir))
        if (same_run.begun(workdir), same_run.weights_hash(workdir)) != (
            goes_on,
            newest,
        ):
            raise UserError(
                f"another process has saved a step in {workdir} just now; run the "
                "same command again"
            )
        processes.of_all(None)  # all have read what is there; now it changes
        kept_beside = {
            CONFIG: to_json(resolved),
            same_run.INVENTORY: to_json(made.record.kept()),
            **extras.in_run(made.task.extras),
        }
        processes.from_first(lambda: side_files.write(workdir, kept_beside))
        session.clock.lap("init")
        training = processes.after_first(
            lambda: training_batches(made, resolved, workdir)
        )
        if data.cache_latents:
            session.clock.lap("encode")

        def evaluation_batches() -> Iterator[dict[str, np.ndarray]]:
            notes = processes.board("held out")
            return batches(made.held, seed=0, notes=notes, **made.options)

        stack.callback(session.end)
        return loop.train(
            made.task,
            loop_config,
            parallel,
            key=jax.random.key(resolved["seed"]),
            workdir=workdir,
            frozen=made.task.components or (lambda: load_components(resolved)),
            batches=training,
            evaluation_batches=evaluation_batches,
            sample_rate=made.spec.sample_rate,
            session=session,
            band=band,
            profiler=profiler,
            name=resolved["task"],
            progress=progress if processes.is_first() else NoView,
            allow_fresh=allow_fresh,
            stop=stop,
        )


class Assembled(NamedTuple):
    """What a resolved config makes; nothing is written yet.

    Attributes:
        task: what is trained.
        spec: the mel contract.
        source: the clips to learn from.
        held: the clips to evaluate on.
        record: what the clips are, for the run's own record.
        options: of `data.pipeline.batches`, but for the seed.
    """

    task: Task
    spec: AudioSpec
    source: Any
    held: Any
    record: same_run.Data
    options: dict[str, Any]


def assemble(
    resolved: Mapping[str, Any],
    workdir: Path,
    kept: Mapping[str, str] | None,
    decode: "Decode",
    accept_changed_data: bool = False,
) -> Assembled:
    """Puts task and data together, the same for a run and for what looks back at it.

    Args:
        resolved: the config.
        workdir: of the run.
        kept: the extras of a run that goes on; of the components for a new one.
        decode: how files are decoded.
        accept_changed_data: take other clips than the run began with.

    Raises:
        UserError: the config asks for what cannot be, or clips have changed.
    """
    spec = AudioSpec.from_config(resolved["audio"])
    data = settings(DataConfig, resolved, "data")
    recipe = tasks.TABLE[resolved["task"]]
    configured = recipe.configure(resolved)
    source, held = _open_splits(data, spec, workdir, decode)
    task = recipe.make(configured, Data(source, held, kept))
    _require_used(data, task, resolved["task"])
    if data.mels:
        source, held = _with_mels(data, spec, source, held)
    splits = {data.train_split: source, data.evaluation_split: held}
    record = same_run.require_same_data(
        workdir, data.source, splits, accept_changes=accept_changed_data
    )
    options: dict[str, Any] = {
        "batch_size": data.batch_size,
        "samples": round(data.seconds * spec.sample_rate),
        "inputs": task.inputs,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "skip_budget": data.skip_budget,
        "same_clips": not record.changes,
    }
    return Assembled(task, spec, source, held, record, options)


def training_batches(
    made: Assembled,
    resolved: Mapping[str, Any],
    workdir: Path,
    *,
    frozen: Callable[[], Params] | None = None,
    spare: Path | None = None,
) -> loop.BatchStream:
    """What is learned from, as latents that the run keeps where the config says so.

    Args:
        made: of `assemble`.
        resolved: the config.
        workdir: of the run.
        frozen: loads what encodes them; where None, the config's autoencoder.
        spare: where latents are made that the run does not have, if it is not to be
            changed.
    """
    from diffusion_audio.data.pipeline import batches

    source = made.source
    load = frozen or (lambda: load_components(resolved, workdir, ("autoencoder",)))
    if resolved["data"]["cache_latents"]:
        source = latent_cache(
            made.task,
            resolved,
            workdir / "latents",
            source,
            samples=made.options["samples"],
            frozen=load,
            spare=spare,
        )
    notes = processes.board("trained on")
    return batches(source, seed=resolved["seed"], notes=notes, **made.options)


def _require_used(data: DataConfig, task: Task, name: str) -> None:
    """Refuses settings of the data that the task takes no notice of."""
    for setting, what in OF_SOME_TASKS.items():
        if getattr(data, setting) and setting not in task.uses:
            raise UserError(
                f"config.data.{setting} is {what}, but this is a {name} run: leave it "
                "empty"
            )


def _open_splits(
    data: DataConfig, spec: AudioSpec, workdir: Path, decode: "Decode"
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

    def split(name: str) -> Source:
        return open_source(data.source, name, spec.sample_rate, decode=decode)

    return split(data.train_split), split(data.evaluation_split)


def _with_mels(
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
