"""How sure a comparison of two systems is, from paired runs and prompts.

Both systems are trained with the same seeds and given the same prompts, so a number of
one is compared with its counterpart of the other: a table of differences [S, P], seed
by prompt. Two things would come out otherwise if the work were done again, the seeds
and the prompts; each varies and both are few.

The error of a mean is that of a paired hierarchical bootstrap, seeds resampled and
prompts resampled, in closed form: for a mean, infinitely many draws give the variance
of the means of seeds and that of the means of prompts. Two things are corrected,
without which 3 seeds would look far surer than they are: a bootstrap of n values sees
only (n - 1) / n of their variance, and its percentiles know nothing of the tails of so
few.
So each part has its unbiased variance and its own quantile of Student's t,

    reach^2 = t(S - 1)^2 s_seeds^2 / S + t(P - 1)^2 s_prompts^2 / P

(the sum of squared reaches, as in Graybill and Wang 1980): exact where only seeds or
only prompts vary, and careful between, as simulations in the tests show. What never
varied in the runs at hand has no interval; that of a share near 0 or 1 is too short.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from diffusion_audio.errors import UserError

LEVEL = 0.05
# Of verdicts: where the test is exact, half of all series of 1,000 comparisons of equal
# systems would pass 5 % by chance; at 4 % such a series stays below it.
VERDICT_LEVEL = 0.04
POWER = 0.8
MOST_SEEDS = 1000
LOG_SMALLEST = -30.0  # of a p value; smaller ones are 0


class Spread(NamedTuple):
    """Standard deviations of a table of values or differences [S, P].

    Attributes:
        seeds: of the means of the seeds, prompts held.
        prompts: of the means of the prompts, seeds held.
        shape: numbers S of seeds and P of prompts.
        rest: of what neither a seed nor a prompt explains; both of the others hold
            some of it.
    """

    seeds: float
    prompts: float
    shape: tuple[int, ...]
    rest: float = 0.0

    @property
    def parts(self) -> list[tuple[int, float]]:
        """(number, variance of the mean) of what varies at all."""
        deviations = self.seeds, self.prompts
        parts = [(n, sd**2 / n) for n, sd in zip(self.shape, deviations, strict=True)]
        return [(number, variance) for number, variance in parts if variance > 0]

    def with_seeds(self, more: int) -> "Spread":
        """What to expect of a table with another number of seeds.

        The variance of a prompt's mean over S seeds is that of the prompt itself and
        ``rest^2 / S``; the first is estimated by taking off the second.
        """
        seeds, prompts = self.shape
        prompt = max(0.0, self.prompts**2 - self.rest**2 / seeds)
        return self._replace(
            prompts=math.sqrt(prompt + self.rest**2 / more), shape=(more, prompts)
        )


class Summary(NamedTuple):
    """A mean with its interval, of one system."""

    value: float
    low: float
    high: float


class Contrast(NamedTuple):
    """How a variant differs from the baseline, on one metric.

    Attributes:
        difference: variant minus baseline.
        low: lower end of the interval, at the level of Holm's correction for
            this variant; the interval holds 0 exactly where the verdict is open.
        high: upper end.
        p: two-sided, after Holm's correction over the variants.
        verdict: ``"better"``, ``"worse"`` or ``"not distinguishable"``.
        spread: of the differences.
        level: at which this variant is tested.
    """

    difference: float
    low: float
    high: float
    p: float
    verdict: str
    spread: Spread
    level: float

    @property
    def effect(self) -> float:
        """Hedges' g of the seeds' paired differences; NaN where they are all equal."""
        if self.spread.seeds == 0:
            return float("nan")
        correction = 1 - 3 / (4 * (self.spread.shape[0] - 1) - 1)
        return correction * self.difference / self.spread.seeds


def summary(values: np.ndarray) -> Summary:
    """Mean of one system's values [S, P] with its interval.

    Of a single run it is that over prompts alone: Wilson's of what is 0 or 1.
    """
    if len(values) == 1 and np.isin(values, (0, 1)).all():
        return proportion(values[0])
    center, reach = float(np.mean(values)), half_width(spread_of(values), LEVEL)
    return Summary(center, center - reach, center + reach)


def proportion(right: np.ndarray) -> Summary:
    """The share of true values, 0 and 1 or bool [n], with its Wilson interval.

    Source: Wilson 1927, without continuity correction; of 95 %.
    """
    k, n = int(np.sum(right)), len(right)
    ends = stats.binomtest(k, n).proportion_ci(1 - LEVEL, method="wilson")
    return Summary(k / n, float(ends.low), float(ends.high))


def compare(
    baseline: np.ndarray, variants: Mapping[str, np.ndarray], better: str
) -> dict[str, Contrast]:
    """Every variant against the baseline, corrected for their number.

    Args:
        baseline: values [S, P] by training seed and prompt; P is 1 for a metric of a
            whole set.
        variants: the same of each variant, in the same order of seeds and prompts.
        better: ``"higher"`` or ``"lower"``.

    Raises:
        UserError: shapes differ, there are fewer than 2 seeds, or a value is not
            finite.
    """
    for name, values in variants.items():
        if np.shape(values) != np.shape(baseline) or np.ndim(values) != 2:
            raise UserError(
                f"{name}: expected values [seeds, prompts] of shape "
                f"{np.shape(baseline)}, got {np.shape(values)}: not the same runs"
            )
        if len(baseline) < 2:
            raise UserError("a comparison needs 2 training seeds or more")
        if not (np.isfinite(values).all() and np.isfinite(baseline).all()):
            raise UserError(f"{name}: a value is not finite, so nothing can be said")
    tables = [values - baseline for values in variants.values()]
    differences, spreads = (
        [float(np.mean(t)) for t in tables],
        list(map(spread_of, tables)),
    )
    corrected, levels = holm(list(map(_p_value, differences, spreads)))
    contrasts = {}
    for name, difference, spread, p, level in zip(
        variants, differences, spreads, corrected, levels, strict=True
    ):
        reach = half_width(spread, level)
        verdict = "not distinguishable"
        if abs(difference) > reach:
            verdict = "better" if (difference > 0) == (better == "higher") else "worse"
        ends = difference - reach, difference + reach
        contrasts[name] = Contrast(difference, *ends, p, verdict, spread, level)
    return contrasts


def half_width(spread: Spread, level: float = VERDICT_LEVEL) -> float:
    """Half the width of a mean's interval."""
    return math.sqrt(sum(_quantile(level, n) ** 2 * v for n, v in spread.parts))


def holm(p_values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Values of p corrected for their number, and the level at which each is tested.

    Holm 1979: from the smallest p on with ``VERDICT_LEVEL / k``, ``/ (k - 1)``, ... to
    the first that fails; those after it stay at its level. So an interval at a
    variant's level excludes 0 exactly where its corrected p is below ``VERDICT_LEVEL``.
    """
    p, places = np.asarray(p_values, np.float64), np.arange(len(p_values))
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - places))
    passed = np.sum(stepped < VERDICT_LEVEL)
    corrected, levels = np.empty((2, len(p)))
    corrected[order] = np.minimum(stepped, 1.0)
    levels[order] = VERDICT_LEVEL / (len(p) - np.minimum(places, passed))
    return corrected.tolist(), levels.tolist()


def power(effect: float, spread: Spread, level: float = VERDICT_LEVEL) -> float:
    """Chance that a true difference is found.

    Noncentral t with the degrees of freedom of Satterthwaite 1946: exact where only
    seeds or only prompts vary.
    """
    if not spread.parts:
        return float(effect != 0)
    error, critical, degrees = _test(spread, level)
    beyond = stats.nct.sf(critical, degrees, abs(effect) / error)
    return float(np.nan_to_num(beyond, nan=1.0))  # far out, scipy gives no number


def detectable(spread: Spread, level: float = VERDICT_LEVEL) -> float:
    """The smallest true difference that is found with ``POWER``."""
    if not spread.parts:
        return 0.0
    error, critical, degrees = _test(spread, level)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, degrees, shift)) - POWER

    high = 2.0 * critical + 2.0
    while lacking(high) < 0:
        high *= 1.5
    return float(optimize.brentq(lacking, 0.0, high)) * error


def seeds_needed(
    effect: float, spread: Spread, level: float = VERDICT_LEVEL
) -> int | None:
    """The fewest training seeds that find a difference with ``POWER``, or ``None``.

    At a fixed number of prompts no number of seeds may be enough.

    Args:
        effect: the true difference.
        spread: of differences seen, whose number of prompts stays.
        level: of the test.
    """

    def enough(more: int) -> bool:
        return power(effect, spread.with_seeds(more), level) >= POWER

    if effect == 0 or not enough(MOST_SEEDS):
        return None
    return bisect.bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=enough)


def spread_of(table: np.ndarray) -> Spread:
    """Standard deviations of seeds' and of prompts' means of a table [S, P]."""
    if np.ptp(table) == 0:  # said exactly, whatever rounding a mean brings
        return Spread(0.0, 0.0, table.shape)
    by_seed, by_prompt = table.mean(1), table.mean(0)
    seeds, prompts = (
        float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
        for means in (by_seed, by_prompt)
    )
    rest = table - by_seed[:, None] - by_prompt + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    unexplained = math.sqrt(np.square(rest).sum() / freedom) if freedom else 0.0
    return Spread(seeds, prompts, table.shape, unexplained)


def _test(spread: Spread, level: float) -> tuple[float, float, float]:
    """Standard error, critical value in its units, and effective degrees of freedom."""
    total = sum(variance for _, variance in spread.parts)
    degrees = total**2 / sum(v**2 / (size - 1) for size, v in spread.parts)
    return total**0.5, half_width(spread, level) / total**0.5, degrees


def _p_value(difference: float, spread: Spread) -> float:
    """The level at which a mean's interval begins to exclude 0."""
    if difference == 0:
        return 1.0

    def excess(logarithm: float) -> float:
        return half_width(spread, np.exp(logarithm)) - abs(difference)

    if excess(LOG_SMALLEST) < 0:
        return 0.0
    return float(np.exp(optimize.brentq(excess, LOG_SMALLEST, 0.0)))


def _quantile(level: float, size: int) -> float:
    return float(special.stdtrit(size - 1, 1 - level / 2))
