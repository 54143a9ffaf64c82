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
        rest: of what neither a seed nor a prompt explains; both of the others hold
            some of it.
    """

    seeds: float
    prompts: float
    rest: float = 0.0

    def with_seeds(self, seeds: int, more: int) -> "Spread":
        """What to expect of a table with ``more`` seeds, where this one has ``seeds``.

        A prompt's mean over seeds has the variance of the prompt itself, estimated by
        taking off ``rest^2 / seeds``, and ``rest^2 / more``.
        """
        prompt = max(0.0, self.prompts**2 - self.rest**2 / seeds)
        return self._replace(prompts=math.sqrt(prompt + self.rest**2 / more))


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
        seeds: number of training seeds S.
        prompts: number of prompts P.
        level: at which this variant is tested.
    """

    difference: float
    low: float
    high: float
    p: float
    verdict: str
    spread: Spread
    seeds: int
    prompts: int
    level: float

    @property
    def effect(self) -> float:
        """Hedges' g of the seeds' paired differences; NaN where they are all equal."""
        if self.spread.seeds == 0:
            return float("nan")
        correction = 1 - 3 / (4 * (self.seeds - 1) - 1)
        return correction * self.difference / self.spread.seeds

    @property
    def detectable(self) -> float:
        """The smallest difference that is found with ``POWER`` at these seeds."""
        return detectable(self.spread, self.seeds, self.prompts, self.level)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that find a difference as large as the one seen; see the function."""
        return seeds_needed(
            self.difference, self.spread, self.seeds, self.prompts, self.level
        )


def summary(values: np.ndarray, level: float = LEVEL) -> Summary:
    """Mean of one system's values [S, P] with its interval.

    Of a single run it is that over prompts alone: Wilson's of what is 0 or 1.
    """
    center, (seeds, prompts) = float(np.mean(values)), values.shape
    if seeds == 1 and np.isin(values, (0, 1)).all():
        return proportion(values[0])
    reach = half_width(spread_of(values), seeds, prompts, level)
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
    tables = {name: values - baseline for name, values in variants.items()}
    spreads = {name: spread_of(table) for name, table in tables.items()}
    raw = [_p_value(table, spreads[name]) for name, table in tables.items()]
    corrected, levels = holm(raw), holm_levels(raw)
    contrasts = {}
    for i, (name, table) in enumerate(tables.items()):
        difference, (seeds, prompts) = float(np.mean(table)), table.shape
        reach = half_width(spreads[name], seeds, prompts, levels[i])
        verdict = "not distinguishable"
        if abs(difference) > reach:
            verdict = "better" if (difference > 0) == (better == "higher") else "worse"
        contrasts[name] = Contrast(
            difference,
            difference - reach,
            difference + reach,
            corrected[i],
            verdict,
            spreads[name],
            seeds,
            prompts,
            levels[i],
        )
    return contrasts


def half_width(
    spread: Spread, seeds: int, prompts: int, level: float = VERDICT_LEVEL
) -> float:
    """Half the width of a mean's interval."""
    parts = [
        _quantile(level, size) ** 2 * variance
        for size, variance in _parts(spread, seeds, prompts)
    ]
    return float(np.sqrt(sum(parts)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Values of p corrected for their number (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def holm_levels(p_values: Sequence[float], level: float = VERDICT_LEVEL) -> list[float]:
    """The level at which Holm's procedure tests each p value.

    It goes on from the smallest p with ``level / k``, ``level / (k - 1)``, ... and
    stops at the first that fails; those after it stay at that level. So an interval
    at a variant's level excludes 0 exactly where its corrected p is below ``level``.
    """
    k = len(p_values)
    levels = [0.0] * k
    step = 0
    for place, i in enumerate(np.argsort(p_values, kind="stable")):
        if place == step:
            levels[i] = level / (k - step)
            step += p_values[i] < levels[i]
        else:
            levels[i] = level / (k - step)
    return levels


def power(
    effect: float,
    spread: Spread,
    seeds: int,
    prompts: int,
    level: float = VERDICT_LEVEL,
) -> float:
    """Chance that a true difference is found.

    Noncentral t with the degrees of freedom of Satterthwaite 1946: exact where only
    seeds or only prompts vary.
    """
    parts = _parts(spread, seeds, prompts)
    if not parts:
        return float(effect != 0)
    error, critical, degrees = _test(parts, level)
    beyond = stats.nct.sf(critical, degrees, abs(effect) / error)
    return float(np.nan_to_num(beyond, nan=1.0))  # far out, scipy gives no number


def detectable(
    spread: Spread, seeds: int, prompts: int, level: float = VERDICT_LEVEL
) -> float:
    """The smallest true difference that is found with ``POWER``."""
    parts = _parts(spread, seeds, prompts)
    if not parts:
        return 0.0
    error, critical, degrees = _test(parts, level)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, degrees, shift)) - POWER

    high = 2.0 * critical + 2.0
    while lacking(high) < 0:
        high *= 1.5
    return float(optimize.brentq(lacking, 0.0, high)) * error


def seeds_needed(
    effect: float,
    spread: Spread,
    seeds: int,
    prompts: int,
    level: float = VERDICT_LEVEL,
) -> int | None:
    """The fewest training seeds that find a difference with ``POWER``, or ``None``.

    At a fixed number of prompts no number of seeds may be enough.

    Args:
        effect: the true difference.
        spread: of a table of ``seeds`` x ``prompts`` differences.
        seeds: of that table.
        prompts: of that table and of the one to be made.
        level: of the test.
    """

    def enough(more: int) -> bool:
        expected = spread.with_seeds(seeds, more)
        return power(effect, expected, more, prompts, level) >= POWER

    if effect == 0 or not enough(MOST_SEEDS):
        return None
    return bisect.bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=enough)


def spread_of(table: np.ndarray) -> Spread:
    """Standard deviations of seeds' and of prompts' means of a table [S, P]."""
    if np.ptp(table) == 0:  # said exactly, whatever rounding a mean brings
        return Spread(0.0, 0.0)
    by_seed, by_prompt = table.mean(1), table.mean(0)
    if len(table) == 1:
        return Spread(0.0, float(np.std(by_prompt, ddof=1)))
    seeds = float(np.std(by_seed, ddof=1))
    if table.shape[1] == 1:
        return Spread(seeds, 0.0)
    rest = table - by_seed[:, None] - by_prompt + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return Spread(
        seeds,
        float(np.std(by_prompt, ddof=1)),
        math.sqrt(np.square(rest).sum() / freedom),
    )


def _parts(spread: Spread, seeds: int, prompts: int) -> list[tuple[int, float]]:
    """(number, variance of the mean) of what varies at all."""
    variances = spread.seeds**2 / seeds, spread.prompts**2 / prompts
    parts = zip((seeds, prompts), variances, strict=True)
    return [(size, variance) for size, variance in parts if variance > 0]


def _test(
    parts: Sequence[tuple[int, float]], level: float
) -> tuple[float, float, float]:
    """Standard error, critical value in its units, and effective degrees of freedom."""
    total = sum(variance for _, variance in parts)
    squares = sum(_quantile(level, size) ** 2 * v for size, v in parts)
    degrees = total**2 / sum(v**2 / (size - 1) for size, v in parts)
    return total**0.5, (squares / total) ** 0.5, degrees


def _p_value(table: np.ndarray, spread: Spread) -> float:
    """The level at which a mean's interval begins to exclude 0."""
    seeds, prompts = table.shape
    mean, parts = abs(float(np.mean(table))), _parts(spread, seeds, prompts)
    if not parts:
        return 0.0 if mean else 1.0

    def excess(logarithm: float) -> float:
        return half_width(spread, seeds, prompts, np.exp(logarithm)) - mean

    if mean == 0:
        return 1.0
    if excess(LOG_SMALLEST) < 0:
        return 0.0
    return float(np.exp(optimize.brentq(excess, LOG_SMALLEST, 0.0)))


def _quantile(level: float, size: int) -> float:
    return float(special.stdtrit(size - 1, 1 - level / 2))
