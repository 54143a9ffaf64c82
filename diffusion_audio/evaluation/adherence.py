"""Does a sound have what its caption asked for? Counts of a classifier's answers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from diffusion_audio.errors import UserError

CONFIDENCE = 0.95


class Proportion(NamedTuple):
    """``right`` of ``n``, as a share with its Wilson interval."""

    right: int
    n: int
    value: float
    low: float
    high: float


class Adherence(NamedTuple):
    """How often clips have what was asked for.

    Attributes:
        values: the values of each attribute, in the order of the classes.
        accuracy: share of clips with the asked value, by attribute.
        all_right: share of clips with every asked value.
        confusion: counts int64 [K, K] by attribute; row asked, column heard.
        asked: int64 [n, A], classes that were asked for.
        heard: int64 [n, A], the most probable classes.
    """

    values: dict[str, tuple[str, ...]]
    accuracy: dict[str, Proportion]
    all_right: Proportion
    confusion: dict[str, np.ndarray]
    asked: np.ndarray
    heard: np.ndarray

    @property
    def chance(self) -> dict[str, float]:
        """Accuracy of guessing a value with equal chances, by attribute."""
        return {name: 1 / len(values) for name, values in self.values.items()}


def adherence(
    scores: Sequence[np.ndarray],
    asked: np.ndarray,
    values: Mapping[str, Sequence[str]],
) -> Adherence:
    """Compares a classifier's answers with what captions asked for.

    Args:
        scores: logits or posteriors, [n, K] for each attribute.
        asked: integer [n, A], the class of each attribute that was asked for.
        values: names of the classes by attribute, in the order of ``scores``.

    Raises:
        UserError: shapes do not agree, a class does not exist, there is no clip,
            or a score is not a number.
    """
    asked = np.asarray(asked, np.int64)
    names = {name: tuple(items) for name, items in values.items()}
    expected = [(len(asked), len(items)) for items in names.values()]
    came = [np.shape(score) for score in scores]
    if came != expected or asked.ndim != 2 or asked.shape[1] != len(names):
        raise UserError(
            f"adherence: for the attributes {', '.join(names)} expected scores of "
            f"shapes {expected} and classes [n, {len(names)}], got {came} and "
            f"{list(asked.shape)}"
        )
    if not len(asked):
        raise UserError("adherence: expected one clip or more, got none")
    for (name, items), score, column in zip(
        names.items(), scores, asked.T, strict=True
    ):
        if column.min() < 0 or column.max() >= len(items):
            raise UserError(
                f"adherence: classes of {name} run from 0 to {len(items) - 1}, got "
                f"{column.min()} to {column.max()}"
            )
        if not np.isfinite(score).all():
            raise UserError(f"adherence: scores of {name} are not all finite")
    heard = np.stack([np.argmax(score, axis=1) for score in scores], axis=1)
    right = heard == asked
    confusion = {}
    for i, (name, items) in enumerate(names.items()):
        confusion[name] = np.zeros((len(items), len(items)), np.int64)
        np.add.at(confusion[name], (asked[:, i], heard[:, i]), 1)
    return Adherence(
        values=names,
        accuracy={name: proportion(right[:, i]) for i, name in enumerate(names)},
        all_right=proportion(right.all(axis=1)),
        confusion=confusion,
        asked=asked,
        heard=heard,
    )


def proportion(right: np.ndarray) -> Proportion:
    """The share of true values of a bool array, with its 95 % Wilson interval.

    Source: Wilson 1927, without continuity correction.
    """
    k, n = int(np.sum(right)), len(right)
    interval = binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson")
    return Proportion(k, n, k / n, float(interval.low), float(interval.high))
