"""Which checkpoints of a run stay: the newest, milestones, and the best."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

BETTER = ("lower", "higher")


@dataclasses.dataclass(frozen=True)
class Retention:
    """What stays when there are more.

    Attributes:
        newest: how many of the newest.
        every: steps that are multiples of it; 0 for none.
        best: the best of some saved steps; None where that is not known.
    """

    newest: int = 2
    every: int = 0
    best: Callable[[Collection[int]], int | None] = lambda steps: None

    def dropped(self, steps: Sequence[int]) -> list[int]:
        """Those of saved steps, oldest first, that need not stay."""
        stay = {*steps[-self.newest :], self.best(steps)}
        return [
            step
            for step in steps
            if step not in stay and not (self.every and step % self.every == 0)
        ]


def best_step(
    rows: Collection[Mapping[str, Any]],
    steps: Collection[int],
    metric: str,
    better: str,
) -> int | None:
    """The saved step whose evaluation is best; the newest of equal ones.

    Args:
        rows: of the run's metrics (`metric_log.read_metrics`).
        steps: those that are saved.
        metric: a name in the rows of evaluations.
        better: one of ``BETTER``.

    Returns:
        None where no saved step has a finite value.
    """
    sign = 1 if better == "lower" else -1
    values = {
        row["step"]: sign * row[metric]
        for row in rows
        if row["split"] == "eval" and row["step"] in steps and metric in row
    }
    found = [step for step, value in values.items() if math.isfinite(value)]
    return min(found, key=lambda step: (values[step], -step), default=None)
