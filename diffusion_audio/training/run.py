"""A training run from a config: data, task, loop and work directory put together."""

import contextlib
import dataclasses
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.hifigan import fold
from diffusion_audio.pretrained import folder
from diffusion_audio.training import ema, labels, loop
from diffusion_audio.training.checkpoint import Checkpoints
from diffusion_audio.training.lock import alone
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.progress import MakeView, ProgressView
from diffusion_audio.training.session import Session
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import State, Task
from diffusion_audio.training.workdir import (
    CONFIG,
    claim,
    config_hash,
    read_config,
    require_free,
    write_text,
)

TASKS = ("vae", "vocoder", "diffusion", "classifier")
TOKENIZER = "tokenizer.json"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        source: ``tones``, ``folder:DIR`` or ``tfds:NAME``.
        train_split: of the source.
        evaluation_split: of the source; training never sees it.
        seconds: length of an example; clips are cropped or padded to it.
        batch_size: examples of a batch, over all devices and processes.
        labels: attributes whose values a classifier learns; their values are kept
            in its run (`labels`).
        skip_budget: share of bad files beyond which a run stops.
        cache_latents: encode the set once and train on that; every clip is then one
            latent, of one crop of ``seconds``.
    """

    source: str = "tones"
    train_split: str = "train"
    evaluation_split: str = "validation"
    seconds: float = 1.024
    batch_size: int = 32
    labels: tuple[str, ...] = ()
    skip_budget: float = 0.001
    cache_latents: bool = False


class Trained(NamedTuple):
    """A finished or running training run, read from its work directory.

    Attributes:
        config: the resolved config.
        state: of the newest good checkpoint.
        tokenizer: the run's tokenizer, or None.
    """

    config: dict[str, Any]
    state: State
    tokenizer: Any


def train(
    config: ConfigDict | Mapping[str, Any],
    workdir: str | Path,
    progress: MakeView = ProgressView,
    allow_fresh: bool = False,
) -> State:
    """Trains what a config says in a work directory, or goes on there.

    Args:
        config: not resolved yet.
        workdir: made if need be.
        progress: makes the view of how far it is; see `loop.train`.
        allow_fresh: start over where the checkpoints of a run are lost.

    Raises:
        UserError: anything a user can mend, in one line.
        Interrupted: a signal came; the state is saved.
    """
    with contextlib.ExitStack() as until_end:
        return _train(config, Path(workdir), progress, allow_fresh, until_end)


def _train(
    config: ConfigDict | Mapping[str, Any],
    workdir: Path,
    progress: MakeView,
    allow_fresh: bool,
    until_end: contextlib.ExitStack,
) -> State:
    from diffusion_audio.data.pipeline import batches
    from diffusion_audio.data.source import open_source

    resolved = resolve(config)
    spec = AudioSpec.from_config(resolved["audio"])
    data = settings(DataConfig, resolved, "data")
    parallel = settings(ParallelConfig, resolved, "parallel")
    loop_config = settings(loop.TrainConfig, resolved, "train")
    require_free(workdir, resolved)
    session = Session(workdir, {"config_hash": config_hash(resolved)})
    _require_kept(workdir, resolved, session.last_step)

    source = open_source(data.source, data.train_split, spec.sample_rate)
    held = open_source(data.source, data.evaluation_split, spec.sample_rate)
    tokenizer = _tokenizer(resolved, workdir, source)
    if tokenizer is not None:  # one too long is found now, not hours later
        for text in (*source.captions(), *held.captions(), *_listened(resolved)):
            tokenizer.encode([text])
    task = make_task(resolved, tokenizer)
    # What could be refused has been: a mistake takes no directory.
    until_end.enter_context(alone(workdir))
    claim(workdir, resolved)
    if tokenizer is not None:
        write_text(workdir / TOKENIZER, tokenizer.to_json())
    options = {
        "batch_size": data.batch_size,
        "samples": round(data.seconds * spec.sample_rate),
        "tokenizer": tokenizer,
        "labels": (
            labels.settle(workdir, resolved, source)
            if resolved["task"] == "classifier"
            else None
        ),
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "skip_budget": data.skip_budget,
    }
    session.clock.lap("data")
    if data.cache_latents:
        source = _latent_cache(resolved, workdir, source, options)
        session.clock.lap("encode")
    fingerprint = {"source": source.name, "fingerprint": source.fingerprint()}
    session.about["data"] = fingerprint

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


def resolve(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """The config as plain values, with nothing left to look up.

    The AudioSpec is spelt out, and the directories under ``components``, of runs or of
    converted weights, are replaced by the resolved configs found there, so that the
    result says all of a model without the files it came from.

    Raises:
        UserError: a component is no run, of another task or of another AudioSpec.
    """
    plain = config.to_dict() if isinstance(config, ConfigDict) else config
    resolved = json.loads(json.dumps(plain))
    if resolved.get("task") not in TASKS:
        raise unknown("task", resolved.get("task"), TASKS)
    spec = AudioSpec.from_config(resolved["audio"])
    resolved["audio"] = spec.to_dict()
    parts = {}
    for name, run in resolved.get("components", {}).items():
        if not run:
            continue
        part = read_config(run)
        if part["task"] != name:
            raise UserError(
                f"config.components.{name} is {run}, a run of task {part['task']!r}; "
                f"give one of task {name!r}"
            )
        theirs = AudioSpec.from_dict(part["audio"])
        spec.require_same(theirs, mine=f"this {resolved['task']} run", theirs=name)
        if name == "vocoder":
            part["generator"]["weight_norm"] = False  # folded when it is loaded
        parts[name] = part | {"run": run}
    if "components" in resolved:
        resolved["components"] = parts
    return resolved


def make_task(config: Mapping[str, Any], tokenizer: Any = None) -> Task:
    """The task that a resolved config names."""
    module = importlib.import_module(f"diffusion_audio.training.tasks.{config['task']}")
    return module.make(config, tokenizer)


def load_components(config: Mapping[str, Any]) -> Params:
    """The trained parameters a run stands on, by name, ready for inference.

    A vocoder's run that goes on with another vocoder gets that one's ``discriminators``
    too, where they are known.
    """
    frozen = {}
    for name, part in config.get("components", {}).items():
        goes_on = name == "vocoder" == config.get("task")
        params = _trained_params(part["run"], judged=goes_on)
        frozen[name] = fold(params["generator"]) if name == "vocoder" else params
        if goes_on and "discriminators" in params:
            frozen["discriminators"] = params["discriminators"]
    return frozen


def _trained_params(directory: str, *, judged: bool) -> Params:
    """The parameters of a run, averages first, or of a folder of published weights."""
    if not folder.is_weights(directory):
        state = read(directory).state
        return state["params"] | ema.best(state["ema"], state["params"])
    config = read_config(directory)
    _, generator = folder.read_generator(directory, config)
    params = {"generator": generator}
    if judged and "discriminators" in config:
        params["discriminators"] = folder.read_discriminators(directory, config)
    return jax.tree.map(jnp.asarray, params)


def read(workdir: str | Path) -> Trained:
    """A run from its work directory: the newest good checkpoint.

    Raises:
        UserError: no run, no finished checkpoint, or all of them damaged.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    path = workdir / TOKENIZER
    tokenizer = _read_tokenizer(path) if path.exists() else None
    task = make_task(config, tokenizer)
    shapes = jax.eval_shape(task.init, jax.random.key(0), _abstract_batch(config))
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        step = checkpoints.newest_good()
        if step is None:
            raise UserError(
                f"{workdir} has no finished checkpoint yet; train it first, or wait "
                "for its first checkpoint"
            )
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            shapes,
        )
        state, _ = checkpoints.restore(step, like)
    finally:
        checkpoints.close()
    return Trained(config, state, tokenizer)


def _abstract_batch(config: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of one batch, for `jax.eval_shape` of a task's init."""
    data = settings(DataConfig, config, "data")
    samples = round(data.seconds * config["audio"]["sample_rate"])
    batch = {
        "audio": jax.ShapeDtypeStruct((1, samples), jnp.float32),
        "labels": jax.ShapeDtypeStruct((1, len(data.labels)), jnp.int32),
        "index": jax.ShapeDtypeStruct((1,), jnp.int32),
    }
    if "tokenizer" in config:
        length = config["tokenizer"]["max_tokens"]
        batch["tokens"] = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return batch


def _listened(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The prompts that evaluations let one hear."""
    return tuple(config.get("listen", {}).get("prompts", ()))


def _tokenizer(config: Mapping[str, Any], workdir: Path, source: Any) -> Any:
    """The run's tokenizer: read where there is one, else trained on the captions."""
    if "tokenizer" not in config:
        return None
    from diffusion_audio.data.tokenizer import Tokenizer

    path = workdir / TOKENIZER
    if path.exists():
        return _read_tokenizer(path)
    return Tokenizer.train(source.captions(), **config["tokenizer"])


def _read_tokenizer(path: Path) -> Any:
    from diffusion_audio.data.tokenizer import Tokenizer

    try:
        return Tokenizer.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); restore it from a copy"
        ) from error


def _require_kept(workdir: Path, config: Mapping[str, Any], saved: int) -> None:
    """Refuses to make anew what a saved step was trained with."""
    needed = {
        CONFIG: True,
        TOKENIZER: "tokenizer" in config,
        labels.LABELS: config["task"] == "classifier",
    }
    for name, wanted in needed.items():
        if saved and wanted and not (workdir / name).exists():
            raise UserError(
                f"{workdir} lacks {name}, which step {saved} was trained with; restore "
                "it from a copy, or use another --workdir"
            )


def _latent_cache(
    config: Mapping[str, Any], workdir: Path, source: Any, options: dict[str, Any]
) -> Any:
    """The source with its audio replaced by the VAE's posterior moments."""
    from diffusion_audio.data import latents
    from diffusion_audio.training.latent_diffusion import build

    model = build(config)
    meta = {
        "audio_spec": model.spec.hash,
        "vae": config_hash(config["components"].get("vae", config.get("patches", {}))),
        "source": source.fingerprint(),
        "samples": options["samples"],
    }
    directory = workdir / "latents"
    if not directory.exists():
        frozen = load_components(config)
        encode = jax.jit(
            lambda audio: jnp.concatenate(model.encode(frozen, audio), axis=-1)
        )
        logging.info("encoding %d clips, once a run, into %s", len(source), directory)
        latents.write(
            directory,
            source,
            lambda audio: np.asarray(encode(audio)),
            meta,
            samples=options["samples"],
        )
    return latents.open(directory, source, meta)
