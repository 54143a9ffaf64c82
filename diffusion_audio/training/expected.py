"""The course that a run's loss is expected to take, of runs with other seeds.

A recipe may ship it (``config.train.expected``). It is of the recipe as it stands: a
run of a config that was changed in anything that decides numbers has no band.
"""

from collections.abc import Mapping
from typing import Any

from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.runs.decisive import recipe_hash


class Band:
    """Says in one line, once, that a loss is not where it should be.

    Args:
        expected: ``recipe``, the `recipe_hash` of what was trained, and ``loss``, rows
            of step, lowest and highest loss.
        config: of the run, resolved.

    Raises:
        UserError: the rows are none.
    """

    def __init__(self, expected: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._bounds: dict[int, tuple[float, float]] = {}
        if not expected or expected.get("recipe") != recipe_hash(config):
            return
        try:
            rows = [(int(step), low, high) for step, low, high in expected["loss"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                "config.train.expected.loss must be rows of step, lowest and highest "
                f"loss, not {expected.get('loss')!r}"
            ) from error
        self._bounds = {step: (low, high) for step, low, high in rows}

    def look(self, step: int, loss: float) -> None:
        """Compares the loss of a step, where something is known of it."""
        low, high = self._bounds.get(step, (loss, loss))
        if low <= loss <= high or loss != loss:  # of NaN all is said elsewhere
            return
        logging.warning(
            "the loss %.4g at step %d is not within %.4g to %.4g, where runs of this "
            "recipe with other seeds were: is this the code and the data it should be? "
            "Training goes on",
            loss,
            step,
            low,
            high,
        )
        self._bounds = {}
