"""The judge of captioned attributes: a classifier trained on real clips only.

It also gives embeddings and posteriors of clips, for distances between sets. It is the
project's own small network: what is measured with it is named after it, and is neither
the FAD nor the FD of papers.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import softmax

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.protocol import params_hash
from diffusion_audio.generation.batches import in_batches, joined
from diffusion_audio.training import ema, run
from diffusion_audio.training.tasks.classifier import classifier, embedder


@dataclasses.dataclass(frozen=True)
class Judge:
    """A trained classifier of attributes. Made by `load_judge`.

    Attributes:
        names: the attributes.
        params: the classifier's parameters.
        hear: ``hear(params, audio [B, N]) -> logits``, one [B, K] an attribute.
        embed: ``embed(params, audio [B, N]) -> [B, D]``, before the heads.
    """

    names: tuple[str, ...]
    params: Params
    hear: Callable[[Params, Array], tuple[Array, ...]]
    embed: Callable[[Params, Array], Array]

    def __call__(self, audio: np.ndarray) -> tuple[np.ndarray, ...]:
        """Logits [n, K] of each attribute for waveforms [n, N]."""
        return joined(in_batches(partial(self.hear, self.params), audio))

    def embeddings(self, audio: np.ndarray) -> np.ndarray:
        """Embeddings [n, D] of waveforms [n, N]."""
        return joined(in_batches(partial(self.embed, self.params), audio))

    def posteriors(self, audio: np.ndarray) -> np.ndarray:
        """Posteriors [n, K] over all combinations of attributes, for waveforms [n, N].

        The heads are independent, so the joint posterior is their product.
        """
        joint = np.ones((len(audio), 1))
        for logits in self(audio):
            each = softmax(logits.astype(np.float64), axis=1)
            joint = (joint[:, :, None] * each[:, None, :]).reshape(len(audio), -1)
        return joint

    @property
    def weights(self) -> str:
        """Short hash of the parameters."""
        return params_hash(self.params)


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
    names = tuple(config["data"]["labels"])
    return Judge(names, params, classifier(config), embedder(config))


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
