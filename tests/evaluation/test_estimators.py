"""Estimators against the toolkits' own computations, restated from their formulae."""

import dataclasses

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import log_softmax, softmax

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation import estimators
from diffusion_audio.evaluation.estimators import (
    CaptionCosine,
    Divergence,
    FrechetDistance,
    FrechetInfinity,
    Heard,
    InceptionScore,
    KernelDistance,
    NeighbourShare,
    Seen,
)


def heard(rng, count, windows=(1, 3), width=5, shift=0.0, classes=4):
    """Clips of different numbers of windows."""
    counts = rng.integers(*windows, size=count, endpoint=True)
    clips = np.repeat(np.arange(count), counts)
    rows = rng.normal(size=(len(clips), width)) + shift
    logits = 2 * rng.normal(size=(len(clips), classes))
    return Heard(rows.astype(np.float32), logits.astype(np.float32), clips)


@pytest.fixture
def seen():
    rng = np.random.default_rng(0)
    words = rng.normal(size=(30, 5))
    return Seen(heard(rng, 30, shift=0.5), heard(rng, 40), words)


def frechet_of(mean1, cov1, mean2, cov2):
    root = np.trace(sqrtm(cov1 @ cov2).real)
    return np.square(mean1 - mean2).sum() + np.trace(cov1 + cov2) - 2 * root


def pooled(rows):
    return rows.mean(0), np.cov(rows, rowvar=False)


def test_the_value_is_of_all_windows(seen):
    """As audioldm_eval and av-benchmark pool the windows of VGGish."""
    made, real = (s.embedding.astype(np.float64) for s in (seen.made, seen.reference))
    expected = frechet_of(*pooled(made), *pooled(real))
    found = FrechetDistance()(seen)
    assert found.value == pytest.approx(expected, rel=1e-8)
    assert found.more["extrapolated"] < found.value
    low, high = found.more["extrapolated_low"], found.more["extrapolated_high"]
    assert low < found.more["extrapolated"] < high
    assert found.interval.low < found.value < found.interval.high
    assert found.notes == ()


def fadtk_pooled(side):
    """fadtk's running sums over files, each file's mean in float16."""
    rows = side.embedding.astype(np.float16)
    width = rows.shape[1]
    mean, scatter, n = np.zeros(width), np.zeros((width, width)), 0
    for clip in range(side.size):
        mine = rows[side.clips == clip]
        m = mine.mean(0)
        assert m.dtype == np.float16
        count = len(mine)
        own = np.cov(mine, rowvar=False) * (count - 1) if count > 1 else 0.0
        delta = m - mean
        mean = mean + count / (n + count) * delta
        scatter = scatter + own + np.outer(delta, delta) * n * count / (n + count)
        n += count
    return mean, scatter / (n - 1)


def test_fadtks_rounding_is_reproduced(seen):
    expected = frechet_of(*fadtk_pooled(seen.made), *fadtk_pooled(seen.reference))
    assert FrechetDistance("float16")(seen).value == pytest.approx(expected, rel=1e-8)
    exact = FrechetDistance()(seen).value
    assert 1e-6 < abs(expected / exact - 1) < 1e-2


def test_fadtks_extrapolation_is_reproduced(seen):
    found = FrechetInfinity(points=4, least=20, seed=3)(seen)
    rng = np.random.default_rng(3)
    rows = seen.made.embedding.astype(np.float16)
    sizes = np.linspace(20, len(rows), 4).astype(int)
    values = []
    for size in sizes:
        drawn = rows[rng.choice(len(rows), size)]
        mean, cov = drawn.mean(0).astype(float), np.cov(drawn, rowvar=False)
        values.append(frechet_of(mean, cov, *fadtk_pooled(seen.reference)))
    slope, intercept = np.polyfit(1 / sizes, values, 1)
    assert found.value == pytest.approx(intercept, rel=1e-4)
    assert found.more["slope"] == pytest.approx(slope, rel=1e-4)
    assert found.notes == ()
    [few] = FrechetInfinity(points=4)(seen).notes
    assert few.startswith(f"{len(rows)} windows, so sizes up to 500")


def test_few_windows_are_warned_of():
    rng = np.random.default_rng(1)
    few, more = (heard(rng, count, (1, 1), width=40) for count in (10, 60))
    found = FrechetDistance()(Seen(few, more))
    reference, generated = found.notes
    assert "60 reference windows for 40 dimensions: halves of them" in reference
    assert "10 generated windows for 40 dimensions: the covariance" in generated
    assert found.more == {}
    assert found.interval.low < found.value < found.interval.high


def kadtk(x, y):
    """kadtk's formula of x the background and y the evaluated set."""
    x, y = (v.astype(np.float16).astype(np.float32) for v in (x, y))
    distances = [np.linalg.norm(y[i] - y[j]) for i in range(len(y)) for j in range(i)]
    width = np.sort(distances)[(len(distances) - 1) // 2]  # torch.median
    gamma = 1 / (2 * width**2 + 1e-8)
    k = lambda a, b: np.exp(  # noqa: E731
        -gamma * np.square(a[:, None] - b[None]).sum(-1)
    )
    m, n = len(x), len(y)
    xx, yy = k(x, x), k(y, y)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1))
    within += (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return 100 * (within - 2 * k(x, y).mean())


def test_kadtk_is_reproduced_and_the_paper_differs(seen):
    made, real = seen.made.embedding, seen.reference.embedding
    coded = KernelDistance("generated", lower=True, scale=100.0, stored="float16")
    assert coded(seen).value == pytest.approx(kadtk(real, made), rel=1e-4)
    written = KernelDistance()(seen)
    assert abs(written.value / 10 / coded(seen).value - 1) > 1e-4
    assert written.interval.low < written.value < written.interval.high


def test_divergences_of_toolkits():
    rng = np.random.default_rng(2)
    made, real = (heard(rng, 9, windows=(1, 1)) for _ in range(2))
    seen = Seen(made, real)
    p, q = (log_softmax(s.logits.astype(float), axis=1) for s in (real, made))
    exact = (np.exp(p) * (p - q)).sum() / 9  # av-benchmark
    assert Divergence()(seen).value == pytest.approx(exact)
    floor = (np.exp(p) * (p - np.log(np.exp(q) + 1e-6))).sum() / 9  # audioldm_eval
    assert Divergence(eps=1e-6)(seen).value == pytest.approx(floor)
    other = (np.exp(q) * (q - np.log(np.exp(p) + 1e-6))).sum() / 9  # stable-audio
    found = Divergence(of="generated", eps=1e-6)(seen).value
    assert found == pytest.approx(other)
    assert Divergence("bernoulli")(seen).value > 0
    half = Divergence("half bernoulli", eps=1e-6)(seen).value
    assert half != pytest.approx(Divergence("bernoulli")(seen).value)


def test_logits_of_windows_are_averaged_first(seen):
    means = [
        seen.made.logits[seen.made.clips == clip].astype(float).mean(0)
        for clip in range(30)
    ]
    np.testing.assert_allclose(seen.made.mean_logits(), means)


def test_inception_score_of_toolkits(seen):
    """audioldm_eval's: shuffled by RandomState(2020), parts by whole division."""
    p = softmax(seen.made.mean_logits(), axis=1)
    p = p[np.random.RandomState(2020).permutation(30)]
    scores = []
    for i in range(4):
        part = p[i * 30 // 4 : (i + 1) * 30 // 4]
        terms = part * (np.log(part) - np.log(part.mean(0)))
        scores.append(np.exp(terms.sum(1).mean()))
    found = InceptionScore(4)(seen)
    assert found.value == pytest.approx(np.mean(scores))
    assert found.more["std"] == pytest.approx(np.std(scores))


def test_cosine_does_not_know_lengths(seen):
    found = CaptionCosine()(seen).value
    longer = seen._replace(
        captions=3 * seen.captions,
        made=seen.made._replace(embedding=2 * seen.made.embedding),
    )
    assert CaptionCosine()(longer).value == pytest.approx(found)
    same = np.stack([*seen.made.direction()])
    assert CaptionCosine()(seen._replace(captions=same)).value == pytest.approx(1.0)


@pytest.mark.parametrize("share", ["precision", "recall", "density", "coverage"])
def test_shares_are_of_clips(seen, share):
    found = NeighbourShare(share)(seen)
    assert 0 <= found.interval.low <= found.value <= found.interval.high
    if share != "density":
        assert found.value <= 1


def test_what_is_missing_is_said(seen):
    with pytest.raises(UserError, match="--reference"):
        FrechetDistance()(Seen(seen.made))
    with pytest.raises(UserError, match="--captions"):
        CaptionCosine()(Seen(seen.made))
    with pytest.raises(UserError, match="network with classes"):
        InceptionScore()(Seen(seen.made._replace(logits=None)))


def test_the_order_of_clips_changes_no_value(seen):
    """Beyond rounding; splits of an inception score are of an order, so it has one."""
    order = np.random.default_rng(5).permutation(30)
    rows = np.concatenate([np.flatnonzero(seen.made.clips == clip) for clip in order])
    counts = np.bincount(seen.made.clips)[order]
    other = Heard(
        seen.made.embedding[rows],
        seen.made.logits[rows],
        np.repeat(np.arange(30), counts),
    )
    for estimator in (FrechetDistance(), KernelDistance(), NeighbourShare()):
        found = estimator(seen).value
        assert estimator(seen._replace(made=other)).value == pytest.approx(
            found, rel=1e-9
        )
    assert InceptionScore()(Seen(other)).value == pytest.approx(
        InceptionScore()(Seen(seen.made)).value
    )


def test_every_estimator_is_a_value():
    for name in dir(estimators):
        cls = getattr(estimators, name)
        if isinstance(cls, type) and hasattr(cls, "needs") and name != "Estimator":
            assert dataclasses.is_dataclass(cls)
            assert cls() == cls()
