"""Adherence to captions: the attributes that a classifier predicts of sounds."""

from collections.abc import Mapping, Sequence

import numpy as np

from diffusion_audio.errors import UserError


def predicted_classes(
    scores: Sequence[np.ndarray],
    requested: np.ndarray,
    values: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """The most probable class of each attribute, beside what was requested.

    Args:
        scores: logits or posteriors, [n, K] for each attribute.
        requested: integer [n, A], the class of each attribute that was requested.
        values: names of the classes by attribute, in the order of ``scores``.

    Returns:
        int64 [n, A].

    Raises:
        UserError: shapes do not agree, a class does not exist, there is no clip,
            or a score is not a number.
    """
    requested = np.asarray(requested, np.int64)
    expected = [(len(requested), len(items)) for items in values.values()]
    came = [np.shape(score) for score in scores]
    if came != expected or requested.ndim != 2 or requested.shape[1] != len(values):
        raise UserError(
            f"adherence: for the attributes {', '.join(values)} expected scores of "
            f"shapes {expected} and classes [n, {len(values)}], got {came} and "
            f"{list(requested.shape)}"
        )
    if not len(requested):
        raise UserError("adherence: expected one clip or more, got none")
    for (name, items), score, column in zip(
        values.items(), scores, requested.T, strict=True
    ):
        if column.min() < 0 or column.max() >= len(items):
            raise UserError(
                f"adherence: classes of {name} run from 0 to {len(items) - 1}, got "
                f"{column.min()} to {column.max()}"
            )
        if not np.isfinite(score).all():
            raise UserError(f"adherence: scores of {name} are not all finite")
    return np.stack([np.argmax(score, axis=1) for score in scores], axis=1)
