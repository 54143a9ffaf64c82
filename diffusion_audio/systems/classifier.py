"""A classifier of clips by mel spectrograms: one softmax head an attribute."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.mel import log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.classifier import ClassifierConfig, build_classifier
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import settings

LABELS = "labels.json"

Labels = dict[str, tuple[str, ...]]
"""The values of each attribute, in the order of their class numbers."""


class Classifier(NamedTuple):
    """A classifier. Made by `build`.

    Attributes:
        spec: of the spectrograms that it sees.
        network: spectrogram [B, T, F] -> logits, one [B, K] an attribute, in the order
            of ``names``.
        names: of the attributes.
        classes: how many values each has.
    """

    spec: AudioSpec
    network: Network
    names: tuple[str, ...]
    classes: tuple[int, ...]

    def logits(self, params: Params, audio: Array) -> tuple[Array, ...]:
        """Logits [B, K] of each attribute of waveforms [B, N]."""
        return self.network.apply(params, self._spectrogram(audio))

    def embed(self, params: Params, audio: Array) -> Array:
        """What the heads are given of waveforms [B, N]: [B, D]."""
        return self.network.apply(params, self._spectrogram(audio), method="embed")

    def _spectrogram(self, audio: Array) -> Array:
        return normalize(self.spec, log_mel(self.spec, audio))


def build(config: Mapping[str, Any]) -> Classifier:
    """The classifier of a config.

    Raises:
        UserError: ``config.data.labels`` and ``config.classifier.classes`` do not
            name the same number of attributes.
    """
    cfg = settings(ClassifierConfig, config, "classifier")
    names = tuple(config["data"]["labels"])
    if len(names) != len(cfg.classes):
        raise UserError(
            f"config.classifier.classes has {len(cfg.classes)} numbers for the "
            f"{len(names)} attributes of config.data.labels ({', '.join(names)}); "
            "give one number of classes an attribute"
        )
    spec = AudioSpec.from_config(config["audio"])
    return Classifier(spec, build_classifier(cfg), names, tuple(cfg.classes))


def check_labels(classifier: Classifier, labels: Labels, where: str) -> None:
    """Refuses labels of another number of values than the classifier has classes.

    Args:
        classifier: made by `build`.
        labels: of its attributes.
        where: they are from, for the message.
    """
    counts = tuple(map(len, labels.values()))
    if counts != classifier.classes:
        values = ", ".join(f"{len(items)} of {name}" for name, items in labels.items())
        raise UserError(
            f"config.classifier.classes is {classifier.classes}, but {where} has the "
            f"values {values}; set it to {counts}"
        )


def read_labels(
    classifier: Classifier, kept: Mapping[str, str], run: str = "the run"
) -> Labels:
    """The labels of a classifier that was trained.

    Args:
        classifier: of the run's config.
        kept: the run's extras.
        run: what messages call it.

    Raises:
        UserError: there are none, or others than the run's config says.
    """
    try:
        stored = json.loads(kept[LABELS])
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(
            f"{LABELS} of {run} is not valid JSON: {error}; restore it from a copy"
        ) from error
    if not isinstance(stored, dict):
        raise UserError(
            f"{LABELS} of {run} is damaged: expected a JSON object, not "
            f"{type(stored).__name__}; restore it from a copy"
        )
    if stored.keys() != set(classifier.names):
        raise UserError(
            f"{LABELS} of {run} is of the attributes {', '.join(stored)}, but its "
            f"config says {', '.join(classifier.names)}; restore the file"
        )
    for name, values in stored.items():
        whole = isinstance(values, list) and all(isinstance(v, str) for v in values)
        if not whole:
            raise UserError(
                f"{LABELS} of {run} is damaged: expected a list of values for {name}, "
                f"not {values!r}; restore the file"
            )
    labels = {name: tuple(stored[name]) for name in classifier.names}
    check_labels(classifier, labels, f"{LABELS} of {run}")
    return labels


def encode_labels(
    attributes: Sequence[Mapping[str, str]], labels: Labels
) -> np.ndarray:
    """Attributes of B clips as int32 [B, A]: class numbers, -1 where one is absent.

    Raises:
        UserError: a value is none of the labels.
    """
    rows = []
    for clip in attributes:
        for name, values in labels.items():
            if name in clip and clip[name] not in values:
                raise UserError(
                    f"a clip has {name} {clip[name]!r}, which is not among the labels "
                    f"{', '.join(values)}"
                )
        rows.append(
            [
                values.index(clip[name]) if name in clip else -1
                for name, values in labels.items()
            ]
        )
    return np.array(rows, np.int32).reshape(len(attributes), len(labels))


def write_labels(labels: Labels) -> dict[str, str]:
    """The file that keeps labels in a run, text by name."""
    return {LABELS: json.dumps(labels, indent=2, sort_keys=True) + "\n"}
