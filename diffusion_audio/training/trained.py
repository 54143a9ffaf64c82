"""A run as it is on disk: its resolved config, its parts and its newest state."""

import dataclasses
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.hifigan import fold
from diffusion_audio.pretrained import folder
from diffusion_audio.training import ema, same_run
from diffusion_audio.training.checkpoint import Checkpoints
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import State, Task
from diffusion_audio.training.workdir import TASKS, TOKENIZER, read_config


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
        mels: folder of saved mels that a vocoder hears, one for each recording of
            ``folder:DIR`` (`data.mel_pairs`); computed from the audio if empty.
        mel_axes: their order, ``ft`` or ``tf``; found from their shapes if empty.
    """

    source: str = "tones"
    train_split: str = "train"
    evaluation_split: str = "validation"
    seconds: float = 1.024
    batch_size: int = 32
    labels: tuple[str, ...] = ()
    skip_budget: float = 0.001
    cache_latents: bool = False
    mels: str = ""
    mel_axes: str = ""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(
                f"config.data.batch_size must be 1 or more, not {self.batch_size}"
            )
        if not 0 < self.seconds < float("inf"):
            raise UserError(
                f"config.data.seconds must be a length above 0, not {self.seconds}"
            )
        if not 0 <= self.skip_budget <= 1:
            raise UserError(
                f"config.data.skip_budget is a share from 0 to 1, not "
                f"{self.skip_budget}"
            )


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


def resolve(
    config: ConfigDict | Mapping[str, Any], workdir: Path | None = None
) -> dict[str, Any]:
    """The config as plain values, with nothing left to look up.

    The AudioSpec is spelt out, and the directories under ``components``, of runs or of
    converted weights, are replaced by the resolved configs found there, with a hash of
    the weights, so that the result says all of a model without the files it came from.

    Args:
        config: as a recipe makes it.
        workdir: of the run that goes on, whose checkpoint keeps its components: they
            may have gone from where they were.

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
    for name, place in resolved.get("components", {}).items():
        if not place:
            continue
        place = os.path.expanduser(place)
        part = same_run.own_component(workdir, name, place)
        parts[name] = part or _component(name, place)
        theirs = AudioSpec.from_dict(parts[name]["audio"])
        spec.require_same(theirs, mine=f"this {resolved['task']} run", theirs=name)
    if "components" in resolved:
        resolved["components"] = parts
    return resolved


def _component(name: str, place: str) -> dict[str, Any]:
    """The resolved config of a trained part, where it lies and what it holds."""
    part = read_config(place)
    if part["task"] != name:
        raise UserError(
            f"config.components.{name} is {place}, a run of task {part['task']!r}; "
            f"give one of task {name!r}"
        )
    if name == "vocoder":
        part["generator"]["weight_norm"] = False  # folded when it is loaded
    return part | {"run": place, "hash": same_run.weights_hash(place)}


def make_task(config: Mapping[str, Any], tokenizer: Any = None) -> Task:
    """The task that a resolved config names."""
    module = importlib.import_module(f"diffusion_audio.training.tasks.{config['task']}")
    return module.make(config, tokenizer)


def load_components(config: Mapping[str, Any], workdir: Path | None = None) -> Params:
    """The trained parameters a run stands on, by name, ready for inference.

    A vocoder's run that goes on with another vocoder gets that one's ``discriminators``
    too, where they are known.

    Args:
        config: resolved.
        workdir: of the run that goes on; what is no more in its place, or not the
            same there, is taken from the checkpoint there.

    Raises:
        UserError: a component is none, or another than the config was resolved with.
    """
    frozen = {}
    for name, part in config.get("components", {}).items():
        if not same_run.unchanged(part):
            if workdir is None:
                raise UserError(
                    f"the {name} in {part['run']} is not there, or not the one that "
                    f"this run began with (hash {part.get('hash')}); bring that back, "
                    f"let its training end, or name it by --config.components.{name}"
                )
            frozen[name] = read_run(workdir).state["frozen"][name]
            continue
        goes_on = name == "vocoder" == config.get("task")
        params = _trained_params(part["run"], judged=goes_on)
        frozen[name] = fold(params["generator"]) if name == "vocoder" else params
        if goes_on and "discriminators" in params:
            frozen["discriminators"] = params["discriminators"]
    return frozen


def _trained_params(directory: str, *, judged: bool) -> Params:
    """The parameters of a run, averages first, or of a folder of published weights."""
    if not folder.is_weights(directory):
        state = read_run(directory).state
        return state["params"] | ema.best(state["ema"], state["params"])
    config = read_config(directory)
    _, generator = folder.read_generator(directory, config)
    params = {"generator": generator}
    if judged and "discriminators" in config:
        params["discriminators"] = folder.read_discriminators(directory, config)
    return jax.tree.map(jnp.asarray, params)


def read_run(workdir: str | Path) -> Trained:
    """A run from its work directory: the newest good checkpoint.

    Raises:
        UserError: no run, no finished checkpoint, or all of them damaged.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    if folder.is_weights(workdir):
        raise UserError(
            f"{workdir} is converted weights of a vocoder; expected a training run"
        )
    tokenizer = read_tokenizer(workdir) if (workdir / TOKENIZER).exists() else None
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


def read_tokenizer(workdir: Path) -> Any:
    """The tokenizer of a run.

    Raises:
        UserError: it is damaged.
    """
    from diffusion_audio.data.tokenizer import Tokenizer

    path = workdir / TOKENIZER
    try:
        return Tokenizer.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); restore it from a copy"
        ) from error


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
