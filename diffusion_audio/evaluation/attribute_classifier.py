"""The classifier of captioned attributes, trained on real clips only.

It also gives embeddings and posteriors of clips, for distances between sets. It is the
project's own small network: what is measured with it is named after it, and is neither
the FAD nor the FD of papers.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import softmax

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.protocol import params_hash
from diffusion_audio.generation.batches import in_batches, joined
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.runs.chosen import choose
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.read import read_part
from diffusion_audio.runs.workdir import read_config, require_part
from diffusion_audio.systems.classifier import (
    Labels,
    build,
    encode_labels,
    read_labels,
)


@dataclasses.dataclass(frozen=True)
class AttributeClassifier:
    """A trained classifier of attributes. Made by `load_attribute_classifier`.

    Attributes:
        values: of each attribute, in the order of its classes.
        params: the classifier's parameters.
        logits: ``logits(params, audio [B, N])``, one [B, K] an attribute.
        embed: ``embed(params, audio [B, N]) -> [B, D]``, before the heads.
    """

    values: Labels
    params: Params
    logits: Callable[[Params, Array], tuple[Array, ...]]
    embed: Callable[[Params, Array], Array]

    def __call__(self, audio: np.ndarray) -> tuple[np.ndarray, ...]:
        """Logits [n, K] of each attribute for waveforms [n, N]."""
        return joined(in_batches(partial(self.logits, self.params), audio))

    def predicted(self, audio: np.ndarray) -> np.ndarray:
        """The most probable classes int64 [n, A] of waveforms [n, N].

        Raises:
            UserError: a score is not a number, as of clips that are none.
        """
        logits = self(audio)
        for name, scores in zip(self.values, logits, strict=True):
            if not np.isfinite(scores).all():
                raise UserError(
                    f"the classifier's scores of {name} are not all finite; check the "
                    "clips for NaN"
                )
        return np.stack([scores.argmax(axis=1) for scores in logits], axis=1)

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

    def requested(
        self, source: Any, attributes: Sequence[dict[str, str]]
    ) -> np.ndarray:
        """Classes int32 [n, A] that captions request.

        Args:
            source: of the clips, which `require` takes.
            attributes: of n of its clips.

        Raises:
            UserError: a clip is without an attribute.
        """
        for name in self.values:
            if missing := sum(name not in clip for clip in attributes):
                raise UserError(
                    f"{missing} of {len(attributes)} clips of {source.name} have no "
                    f"{name}, which the classifier predicts; fill it in"
                )
        return encode_labels(attributes, self.values)

    def require(self, source: Any) -> None:
        """Refuses clips of whose attributes it knows too little.

        Raises:
            UserError: they lack an attribute that it predicts, or have values of it
                that it was not trained on.
        """
        for name, values in self.values.items():
            if name not in source.attributes:
                raise UserError(
                    f"the classifier predicts {name}, which {source.name} does not "
                    "say of its clips; give one that was trained on it"
                )
            if new := sorted(set(source.attributes[name]) - set(values)):
                raise UserError(
                    f"{source.name} has clips whose {name} is {', '.join(new)}; the "
                    f"classifier knows {', '.join(values)}; give one that was trained "
                    "on it"
                )

    @property
    def weights(self) -> str:
        """Short hash of the parameters."""
        return params_hash(self.params)


def load_attribute_classifier(
    run_dir: str | Path, spec: AudioSpec
) -> AttributeClassifier:
    """The classifier of a run.

    Args:
        run_dir: its work directory; which checkpoint it may say (`runs.chosen`).
        spec: of the sounds to classify; must be the run's own.

    Raises:
        UserError: another task's run or another AudioSpec, or the names of its
            classes lack or do not fit.
    """
    run, step = choose(run_dir)
    config = read_config(run)
    require_part(config, run, "classifier", "expected one that trained")
    classifier = build(config)
    classifier.spec.require_same(spec, mine="classifier", theirs="model")
    shapes = abstract_params(classifier.network)
    return AttributeClassifier(
        read_labels(classifier, Extras(run), str(run)),
        read_part(run, "classifier", shapes, step=step),
        jax.jit(classifier.logits),
        jax.jit(classifier.embed),
    )
