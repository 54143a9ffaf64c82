"""A training run from a config: data, task, loop and work directory put together."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.text import as_texts
from diffusion_audio.errors import UserError
from diffusion_audio.storage import write_whole
from diffusion_audio.training import labels, loop, same_run
from diffusion_audio.training.latent_cache import latent_cache
from diffusion_audio.training.lock import alone
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    require_divisible,
)
from diffusion_audio.training.progress import MakeView, ProgressView
from diffusion_audio.training.session import Session
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import State
from diffusion_audio.training.trained import (
    DataConfig,
    load_components,
    make_task,
    read_tokenizer,
    resolve,
)
from diffusion_audio.training.vocoder_checks import check_scale
from diffusion_audio.training.workdir import (
    CONFIG,
    TOKENIZER,
    write_json,
)


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
    from diffusion_audio.data.open import open_source, parse
    from diffusion_audio.data.pipeline import batches

    workdir = Path(workdir)
    resolved = resolve(config, workdir)
    spec = AudioSpec.from_config(resolved["audio"])
    data = settings(DataConfig, resolved, "data")
    parallel = settings(ParallelConfig, resolved, "parallel")
    loop_config = settings(loop.TrainConfig, resolved, "train")
    require_divisible(data.batch_size, make_mesh(parallel), loop_config.accumulate)
    goes_on, newest = same_run.begun(workdir), same_run.weights_hash(workdir)
    if goes_on:
        _require_kept(workdir, resolved)
    same_run.require_same(workdir, resolved)
    session = Session(workdir, {"config_hash": same_run.content_hash(resolved)})

    kind, place = parse(data.source)
    both = kind == "folder" and workdir.exists() and os.path.exists(place)
    if both and workdir.samefile(place):
        raise UserError(
            f"{workdir} is the folder of the clips, which a run would write among; "
            "give another --workdir"
        )
    source = open_source(data.source, data.train_split, spec.sample_rate)
    held = open_source(data.source, data.evaluation_split, spec.sample_rate)
    tokenizer = _tokenizer(resolved, workdir if goes_on else None, source)
    listened = resolved
    if tokenizer is not None:
        listened = _with_prompts(resolved, held)
        prompts = listened["listen"]["prompts"]
        # One too long is found now, not hours later.
        for text in (*source.captions(), *held.captions(), *prompts):
            tokenizer.encode([text])
    task = make_task(listened, tokenizer)
    if data.mels:
        source, held = _with_mels(resolved["task"], data, spec, source, held)
    splits = {data.train_split: source, data.evaluation_split: held}
    record = same_run.require_same_data(
        workdir, data.source, splits, accept_changes=accept_changed_data
    )
    session.about["data"] = record.about()
    options = {
        "batch_size": data.batch_size,
        "samples": round(data.seconds * spec.sample_rate),
        "tokenizer": tokenizer,
        "labels": (
            labels.settle(workdir if goes_on else None, resolved, source)
            if resolved["task"] == "classifier"
            else None
        ),
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
        if tokenizer is not None:
            write_whole(workdir / TOKENIZER, tokenizer.to_json())
        if options["labels"] is not None:
            labels.write(workdir, options["labels"])
        session.clock.lap("data")
        if data.cache_latents:
            source = latent_cache(
                resolved,
                workdir / "latents",
                source,
                samples=options["samples"],
                frozen=lambda: load_components(resolved, workdir),
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
            frozen=lambda: load_components(resolved),
            batches=batches(source, seed=resolved["seed"], **options),
            evaluation_batches=evaluation_batches,
            sample_rate=spec.sample_rate,
            session=session,
            name=resolved["task"],
            progress=progress,
            allow_fresh=allow_fresh,
        )


def _with_prompts(config: Mapping[str, Any], held: Any) -> dict[str, Any]:
    """The config with prompts to listen to: its own, else captions held out."""
    listen = config["listen"]
    if prompts := listen.get("prompts"):
        return {**config, "listen": {**listen, "prompts": as_texts(prompts)}}
    captions = list(dict.fromkeys(filter(None, held.captions())))
    last, count = len(captions) - 1, min(listen.get("captions", 0), len(captions))
    chosen = [captions[i * last // max(1, count - 1)] for i in range(count)]
    return {**config, "listen": {**listen, "prompts": chosen}}


def _tokenizer(config: Mapping[str, Any], workdir: Path | None, source: Any) -> Any:
    """The tokenizer of the run in a directory, else one trained on the captions."""
    if "tokenizer" not in config:
        return None
    from diffusion_audio.data.tokenizer import Tokenizer

    captions = source.captions()
    empty = sum(not caption for caption in captions)
    if empty == len(captions):
        raise UserError(
            f"{source.name} has no captions, and text to audio learns from them: write "
            f"them into a metadata.csv (columns file_name, caption); `data check` says "
            "what is read of a folder"
        )
    if empty:
        logging.warning(
            "%d of %d captions of %s are empty", empty, len(captions), source.name
        )
    if workdir is None:
        return Tokenizer.train(captions, **config["tokenizer"])
    return read_tokenizer(workdir)


def _require_kept(workdir: Path, config: Mapping[str, Any]) -> None:
    """Refuses to make anew what the saved steps of a run were trained with."""
    needed = {
        CONFIG: True,
        TOKENIZER: "tokenizer" in config,
        labels.LABELS: config["task"] == "classifier",
    }
    for name, wanted in needed.items():
        if wanted and not (workdir / name).exists():
            raise UserError(
                f"{workdir} lacks {name}, which its saved steps were trained with; "
                "restore it from a copy, or use another --workdir"
            )


def _with_mels(
    task: str, data: DataConfig, spec: AudioSpec, source: Any, held: Any
) -> tuple[Any, Any]:
    """Both splits with the saved mels of their clips."""
    from diffusion_audio.data.mel_pairs import pair

    if task != "vocoder":
        raise UserError(
            f"config.data.mels is what a vocoder hears, but this is a {task} run: "
            "leave it empty"
        )
    source, held = pair(
        (source, held),
        os.path.expanduser(data.mels),
        spec,
        axes=data.mel_axes,
        skip_budget=data.skip_budget,
    )
    check_scale(spec, source)
    return source, held
