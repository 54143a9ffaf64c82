"""How sure a number of a set of clips is: 95 % intervals over clips."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000
ENTRIES = 1 << 22  # resampled at a time


class Interval(NamedTuple):
    """Where a number would come out, were the clips drawn again."""

    low: float
    high: float


def of_mean(values: np.ndarray, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of one number a clip.

    Args:
        values: [n].
        seed: of the resamples.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2 or np.ptp(values) == 0:
        return Interval(float(values.mean()), float(values.mean()))
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=max(1, ENTRIES // len(values)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


class Halves(NamedTuple):
    """A number of random halves of the clips. Made by `of_halves`.

    Attributes:
        mean: over all halves.
        error: standard error that the number of all clips has.
        growth: ``1 / (n / h - 1)`` of halves of h of n clips, 1 for an even n.
        splits: how often the clips were parted in two.
    """

    mean: float
    error: float
    growth: float
    splits: int

    def interval(self, value: float) -> Interval:
        """That of a value with this error."""
        reach = float(stats.t.ppf((1 + LEVEL) / 2, self.splits)) * self.error
        return Interval(value - reach, value + reach)

    def extrapolated(self, value: float) -> float:
        """The value of all clips, brought to infinitely many along 1 / n."""
        return value + (value - self.mean) * self.growth


def of_halves(
    statistic: Callable[..., float],
    sizes: Sequence[int],
    *,
    splits: int = 10,
    seed: int = 0,
) -> Halves:
    """A number of halves of sets of clips, where a bootstrap would be biased.

    A clip that is drawn twice makes a set look narrower, which a distance of sets
    takes for a difference; halves hold each clip once. The variance of a mean over a
    random half, about the mean of all, is that of the mean of all (the balanced half
    samples of McCarthy 1969), and so for what is as smooth as a mean. Both halves of a
    split count: their average is free of that variance, their difference is nothing
    else.

    Args:
        statistic: of the clips that it is given, int arrays of each set.
        sizes: clips of each set, 4 or more.
        splits: how often to part them.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    values = np.zeros((splits, 2))
    for split in range(splits):
        orders = [rng.permutation(size) for size in sizes]
        values[split] = [
            statistic(*(np.sort(o[: len(o) // 2]) for o in orders)),
            statistic(*(np.sort(o[-(len(o) // 2) :]) for o in orders)),
        ]
    growth = min((size // 2) / (size - size // 2) for size in sizes)
    apart = (values[:, 0] - values[:, 1]) / 2
    error = float(np.sqrt(np.square(apart).mean() * growth))
    return Halves(float(values.mean()), error, growth, splits)
