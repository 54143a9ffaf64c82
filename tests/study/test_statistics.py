"""Verdicts hold what they promise: few false ones, and real effects are found."""

import numpy as np
import pytest
from scipy import stats

from diffusion_audio.errors import UserError
from diffusion_audio.study import statistics as s

DRAWS = 1000


def tables(rng, draws, systems, seeds, prompts, seed_sd, prompt_sd, noise):
    """Values [draws, systems, S, P] of systems that are equal in truth.

    The prompts' own difficulty is shared by all, how a system takes a prompt is its
    own, and so is what a training seed made of it.
    """
    normal = rng.normal
    shared = normal(size=(draws, 1, 1, prompts))
    own = prompt_sd * normal(size=(draws, systems, 1, prompts))
    trained = seed_sd * normal(size=(draws, systems, seeds, 1))
    rest = noise * normal(size=(draws, systems, seeds, prompts))
    return shared + own + trained + rest


@pytest.mark.parametrize(
    ("seeds", "spread"),
    [
        (3, (1.0, 0.0, 1.0)),
        (3, (1.0, 0.0, 0.0)),
        (3, (0.3, 1.0, 1.0)),
        (3, (0.0, 1.0, 0.3)),
        (5, (0.5, 0.5, 1.0)),
    ],
)
def test_equal_systems_are_told_apart_in_at_most_one_of_twenty(seeds, spread):
    rng = np.random.default_rng(0)
    prompts = 12
    draws = tables(rng, DRAWS, 4, seeds, prompts, *spread)
    false = 0
    for values in draws:
        names = {str(i): values[i] for i in range(1, 4)}
        contrasts = s.compare(values[0], names, "higher")
        false += any(c.verdict != "not distinguishable" for c in contrasts.values())
    assert false <= 0.05 * DRAWS


def test_equal_systems_under_a_metric_of_sets():
    """One number a run: the plain t test of paired seeds."""
    rng = np.random.default_rng(1)
    pairs = rng.normal(size=(DRAWS, 2, 3, 1))
    p = [s.compare(a, {"b": b}, "lower")["b"].p for a, b in pairs]
    expected = [stats.ttest_rel(b[:, 0], a[:, 0]).pvalue for a, b in pairs]
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    assert np.mean(np.array(p) < s.VERDICT_LEVEL) <= s.LEVEL


@pytest.mark.parametrize("seeds", [3, 6])
@pytest.mark.parametrize("spread", [(1.0, 0.0), (0.5, 2.0)])
def test_a_planted_effect_is_found_with_the_stated_power(seeds, spread):
    rng = np.random.default_rng(2)
    seed_sd, prompt_sd = spread
    prompts = 24
    truth = s.Spread(*spread, (seeds, prompts))
    effect = s.detectable(truth)
    assert s.power(effect, truth) == pytest.approx(s.POWER, abs=1e-6)
    found = 0
    for _ in range(DRAWS):
        difference = (
            effect
            + seed_sd * rng.normal(size=(seeds, 1))
            + prompt_sd * rng.normal(size=(1, prompts))
        )
        contrast = s.compare(np.zeros_like(difference), {"x": difference}, "higher")
        found += contrast["x"].verdict == "better"
    assert found / DRAWS >= s.POWER - 0.04


def test_a_percentile_interval_would_not_do():
    """Why this is no plain bootstrap: with 3 seeds it is wrong far too often."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        difference = rng.normal(size=3)
        means = rng.choice(difference, (500, 3)).mean(1)
        low, high = np.quantile(means, (0.025, 0.975))
        wrong += not low <= 0 <= high
    assert wrong / 300 > 0.15


def test_the_variances_are_those_of_a_hierarchical_bootstrap():
    """Seeds resampled, or prompts, with the factor (n - 1) / n that a bootstrap has."""
    rng = np.random.default_rng(4)
    table = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) + rng.normal(size=30)
    spread = s.spread_of(table)
    draws = rng.integers(4, size=(20000, 4))
    resampled = np.var(table.mean(1)[draws].mean(1))
    assert resampled == pytest.approx(spread.seeds**2 / 4 * 3 / 4, rel=0.03)
    draws = rng.integers(30, size=(20000, 30))
    resampled = np.var(table.mean(0)[draws].mean(1))
    assert resampled == pytest.approx(spread.prompts**2 / 30 * 29 / 30, rel=0.03)


def test_holm_equals_its_definition():
    corrected, levels = s.holm([0.01, 0.04, 0.03])
    assert corrected == pytest.approx([0.03, 0.06, 0.06])
    assert levels == pytest.approx([0.04 / 3, 0.04 / 2, 0.04 / 2])
    assert s.holm([0.5, 0.9])[0] == pytest.approx([1.0, 1.0])


def test_an_interval_holds_zero_where_the_verdict_is_open():
    rng = np.random.default_rng(5)
    for _ in range(50):
        base = rng.normal(size=(4, 8))
        shifts = rng.exponential(0.8, size=5)
        others = {str(i): rng.normal(d, 1, (4, 8)) for i, d in enumerate(shifts)}
        for contrast in s.compare(base, others, "higher").values():
            decided = not contrast.low <= 0 <= contrast.high
            assert decided == (contrast.verdict != "not distinguishable")
            assert decided == (contrast.p < s.VERDICT_LEVEL)


def test_direction_and_a_difference_that_never_varies():
    base = np.zeros((3, 4))
    better = s.compare(base, {"x": base - 1.0}, "lower")["x"]
    assert (better.verdict, better.low, better.high) == ("better", -1.0, -1.0)
    assert s.compare(base, {"x": base - 1.0}, "higher")["x"].verdict == "worse"
    same = s.compare(base, {"x": base.copy()}, "higher")["x"]
    assert same.verdict == "not distinguishable"
    assert same.p == 1.0
    assert s.seeds_needed(same.difference, same.spread, same.level) is None


def test_seeds_needed_is_the_first_that_is_enough():
    spread = s.Spread(1.0, 0.5, (3, 48))
    needed = s.seeds_needed(1.0, spread)
    assert s.power(1.0, spread.with_seeds(needed)) >= s.POWER
    assert s.power(1.0, spread.with_seeds(needed - 1)) < s.POWER
    # However many seeds, these few prompts vary too much.
    assert s.seeds_needed(0.01, s.Spread(0.1, 5.0, (3, 4))) is None


def test_seeds_needed_knows_that_more_seeds_also_average_what_nothing_explains():
    """Where only that varies, no prompt keeps a difference from being found."""
    rng = np.random.default_rng(6)
    effect, prompts = 0.12, 48
    spread = s.spread_of(rng.normal(effect, 1.0, (400, prompts)))
    pilot = spread.with_seeds(3)
    assert pilot.prompts == pytest.approx(3**-0.5, rel=0.05)
    needed = s.seeds_needed(effect, pilot)
    found = 0
    for _ in range(300):
        difference = rng.normal(effect, 1.0, (needed, prompts))
        contrast = s.compare(np.zeros_like(difference), {"x": difference}, "higher")
        found += contrast["x"].verdict == "better"
    assert found / 300 >= s.POWER - 0.04
    assert needed < 60


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_equal_systems_under_shares_of_right_and_wrong(share):
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(DRAWS):
        base, other = (rng.random((2, 3, 48)) < share).astype(float)
        contrast = s.compare(base, {"x": other}, "higher")["x"]
        wrong += contrast.verdict != "not distinguishable"
    assert wrong <= 0.05 * DRAWS


@pytest.mark.parametrize(
    ("base", "variant", "message"),
    [
        (np.zeros((3, 4)), np.zeros((2, 4)), "not the same runs"),
        (np.zeros((1, 4)), np.zeros((1, 4)), "2 training seeds"),
        (np.zeros((3, 4)), np.full((3, 4), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(base, variant, message):
    with pytest.raises(UserError, match=message):
        s.compare(base, {"x": variant}, "higher")


def test_the_summary_of_one_number_a_run_is_students_interval():
    values = np.random.default_rng(8).normal(3.0, 1.0, (5, 1))
    got = s.summary(values)
    error = stats.sem(values[:, 0])
    expected = stats.t.interval(0.95, 4, values.mean(), error)
    assert got.value == pytest.approx(values.mean())
    assert (got.low, got.high) == pytest.approx(expected)


def test_the_effect_is_hedges_g_of_the_seeds():
    """Of means over prompts, with the correction for few."""
    table = np.random.default_rng(9).normal(1.0, 1.0, (4, 6))
    means = table.mean(1)
    expected = means.mean() / means.std(ddof=1) * (1 - 3 / (4 * 3 - 1))
    contrast = s.compare(np.zeros((4, 6)), {"x": table}, "higher")["x"]
    assert contrast.effect == pytest.approx(expected)


def test_what_nothing_explains_is_left_when_seeds_and_prompts_are_taken_off():
    """Of a sum of a seed's and a prompt's part nothing; of a checkerboard all."""
    rng = np.random.default_rng(10)
    seeds, prompts = rng.normal(size=(4, 1)), rng.normal(size=6)
    assert s.spread_of(seeds + prompts).rest == pytest.approx(0.0, abs=1e-12)
    board = np.where(np.add.outer(range(4), range(6)) % 2, 1.0, -1.0)
    assert s.spread_of(5 + board).rest == pytest.approx(np.sqrt(24 / 15))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (81, 100), (1, 3)])
def test_the_interval_solves_wilsons_equation(k, n):
    """Its ends are the p with |k/n - p| = z sqrt(p (1 - p) / n) (Wilson 1927)."""
    z = 1.959963984540054
    share = s.proportion(np.arange(n) < k)
    assert share.value == k / n
    for end in (share.low, share.high):
        assert abs(k / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))
    assert share.low <= share.value <= share.high


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    shares = [s.proportion(rng.random(100) < 0.8) for _ in range(1000)]
    covered = np.mean([share.low <= 0.8 <= share.high for share in shares])
    assert 0.93 < covered < 0.97
