"""The judge of captioned attributes: a classifier trained on real clips only."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.training import ema, run
from diffusion_audio.training.tasks.classifier import classifier

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Judge:
    """A trained classifier of attributes. Made by `load_judge`.

    Attributes:
        names: the attributes.
        params: the classifier's parameters.
        hear: ``hear(params, audio [B, N]) -> logits``, one [B, K] an attribute.
    """

    names: tuple[str, ...]
    params: Params
    hear: Callable[[Params, Array], tuple[Array, ...]]

    def __call__(self, audio: np.ndarray) -> list[np.ndarray]:
        """Logits [n, K] of each attribute for waveforms [n, N], in equal batches."""
        padded = np.pad(audio, ((0, -len(audio) % BATCH), (0, 0)))
        parts = [
            self.hear(self.params, jnp.asarray(padded[i : i + BATCH]))
            for i in range(0, len(padded), BATCH)
        ]
        return [
            np.concatenate([part[i] for part in parts])[: len(audio)]
            for i in range(len(self.names))
        ]


def load_judge(run_dir: str | Path, spec: AudioSpec) -> Judge:
    """The judge of a classifier's run.

    Args:
        run_dir: its work directory.
        spec: of the sounds to judge; must be the classifier's.

    Raises:
        UserError: another task's run, or another AudioSpec.
    """
    trained = run.read(run_dir)
    config = trained.config
    if config["task"] != "classifier":
        raise UserError(
            f"{run_dir} is a run of task {config['task']!r}; the judge must be one of "
            "task 'classifier'"
        )
    AudioSpec.from_dict(config["audio"]).require_same(
        spec, mine="classifier", theirs="model"
    )
    state = trained.state
    params = ema.best(state["ema"], state["params"])
    return Judge(tuple(config["data"]["labels"]), params, classifier(config))


def asked_classes(
    attributes: Sequence[dict[str, str]], values: dict[str, tuple[str, ...]]
) -> np.ndarray:
    """Classes int64 [n, A] of clips' attributes."""
    return np.array(
        [
            [list(values[name]).index(clip[name]) for name in values]
            for clip in attributes
        ]
    )
