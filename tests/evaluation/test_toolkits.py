"""Protocols against the code of the toolkits that they are named after, restated.

Each with its own constants as `protocols.TABLE` has them, so that one that is wrong
there is found here: what the toolkit does to a recording, and what it makes of what a
network heard. Line by line as the toolkit has it; only its resampler is ours.
"""

import numpy as np
import pytest
from scipy.special import expit, softmax

from diffusion_audio.audio.sinc import Sinc, resample
from diffusion_audio.evaluation.estimators import Heard, Seen
from diffusion_audio.evaluation.protocols import TABLE
from tests.evaluation.test_estimators import fadtk_pooled, frechet_of, pooled

KAISER = Sinc(64, 0.9475937167399596, 14.769656459379492)
EPS = 1e-6


def sound(seconds, rate, level=0.3):
    """Two channels of noise that differ, with a mean."""
    rng = np.random.default_rng(1)
    wave = rng.normal(size=(round(seconds * rate), 2)) * [level, 1.5 * level] + 0.1
    return wave.astype(np.float32)


def heard_of(protocol, metric, wave, rate, to):
    return TABLE[protocol].metrics[metric].treatment.parts(wave, rate, to)


def same(ours, theirs):
    assert ours.shape == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("protocol", ["audioldm", "tango", "auffusion"])
@pytest.mark.parametrize("metric", ["FD", "FAD", "KL_softmax", "IS"])
def test_audioldm_eval_hears(protocol, metric):
    """WaveDataset.read_from_file and pad_short_audio."""
    for seconds, rate in ((0.7, 22050), (2.5, 16000)):
        audio = sound(seconds, rate)[:, 0]
        audio = resample(audio - audio.mean(), rate, 16000, Sinc())
        audio = np.pad(audio, (0, max(0, 32000 - len(audio))))
        same(heard_of(protocol, metric, sound(seconds, rate), rate, 16000), [audio])


@pytest.mark.parametrize("seconds", [0.7, 1.3])
def test_audioldm_evals_clap_hears(seconds):
    """Its branch passt_replace_panns: 32 kHz, zeros to 32,000 samples, then CLAP's."""
    audio = sound(seconds, 16000)[:, 0]
    audio = resample(audio - audio.mean(), 16000, 32000, Sinc())
    audio = np.pad(audio, (0, max(0, 32000 - len(audio))))
    audio = resample(audio, 32000, 48000, Sinc())
    (got,) = heard_of("audioldm", "CLAP", sound(seconds, 16000), 16000, 48000)
    expected = np.tile(audio, 480000 // len(audio))
    expected = np.pad(expected, (0, 480000 - len(expected)))
    assert got.shape == expected.shape
    off = np.abs(got - expected) > 1e-6
    # Zeros come after its second resampler here, before it there.
    assert off.sum() <= 20 * 10


def test_av_benchmark_hears():
    """AudioDataset.read_from_file, and what `extract` shows PaSST."""
    for seconds, rate in ((0.7, 8000), (10.3, 8000)):
        wave = sound(seconds, rate).mean(1)
        wave = wave - wave.mean()
        audio = resample(wave, rate, 16000, Sinc())[: int(16000 * 10.0)]
        for metric in ("FD-VGG", "FD-PANN"):
            got = heard_of("meanaudio", metric, sound(seconds, rate), rate, 16000)
            same(got, [audio])
        audio = resample(wave, rate, 32000, Sinc())[:320000]
        audio = np.pad(audio, (0, 320000 - len(audio)))
        got = heard_of(
            "meanaudio", "KL-PASST-softmax", sound(seconds, rate), rate, 32000
        )
        same(got, [audio])


def test_stable_audio_metrics_hears():
    """return_probabilities, of more than 1.5 s; clap_score's rounding."""
    for seconds in (2.0, 14.9, 20.1, 26.0):
        audio = sound(seconds, 4000).mean(1)
        audio = audio * (10 ** (-1.0 / 20) / np.abs(audio).max())
        size, step = 40000, 20000
        windows = []
        for i in range(0, max(step, len(audio) - step), step):
            window = audio[i : i + size]
            windows.append(np.pad(window, (0, size - len(window))))
        got = heard_of(
            "stable_audio_metrics", "KL_PaSST", sound(seconds, 4000), 4000, 4000
        )
        same(got, windows)
    rounded = (np.clip(audio, -1, 1) * 32767.0).astype(np.int16) / 32767.0
    got = heard_of("stable_audio_metrics", "CLAP", sound(seconds, 4000), 4000, 4000)
    same(got[0], rounded[:40000])


def as_int16(wave):
    """What libsndfile stores, over 32768."""
    return np.clip(np.rint(wave.astype(np.float64) * 32767), -32768, 32767) / 32768


@pytest.mark.parametrize("protocol", ["fadtk", "kadtk", "kadtk_as_written"])
def test_fadtk_and_kadtk_hear(protocol):
    """load_audio, load_wav and enforce_min_len."""
    for seconds, rate in ((0.4, 8000), (1.2, 22050)):
        wave = resample(sound(seconds, rate, 0.2).mean(1), rate, 16000, KAISER)
        stored = as_int16(wave)
        if protocol == "fadtk":
            stored = np.pad(stored, (0, max(0, 16000 - len(stored))))
        (got,) = heard_of(protocol, "vggish", sound(seconds, rate, 0.2), rate, 16000)
        assert len(got) == len(stored)
        assert np.abs(got - stored).max() < 1.01 / 32768  # of libsndfile's rounding
        assert np.median(np.abs(got - stored)) < 4e-5
    if protocol == "fadtk":
        (*parts,) = heard_of(protocol, "clap-laion-audio", sound(12.0, 800), 800, 800)
        assert len(parts) == 12  # every second, zeros after the end
        assert not parts[-1][800:].any()


def heard(count, seed, windows=(1, 1), width=6, classes=5):
    rng = np.random.default_rng(seed)
    counts = rng.integers(*windows, size=count, endpoint=True)
    total = counts.sum()
    return Heard(
        (rng.normal(size=(total, width)) + 0.1 * seed).astype(np.float32),
        (2 * rng.normal(size=(total, classes))).astype(np.float32),
        np.repeat(np.arange(count), counts),
    )


def value(protocol, metric, made, real):
    return TABLE[protocol].metrics[metric].estimator(Seen(made, real)).value


@pytest.mark.parametrize(
    ("protocol", "metrics", "pool"),
    [
        ("audioldm", ("FD", "FAD"), pooled),
        ("meanaudio", ("FD-VGG", "FD-PANN", "FD-PASST"), pooled),
        ("fadtk", ("vggish", "clap-laion-audio"), fadtk_pooled),
    ],
)
def test_frechet_distances_of_toolkits(protocol, metrics, pool):
    made, real = heard(30, 0, windows=(2, 3)), heard(25, 1, windows=(2, 3))
    sides = (made, real) if pool is fadtk_pooled else (made.embedding, real.embedding)
    expected = frechet_of(*pool(sides[0]), *pool(sides[1]))
    for metric in metrics:
        assert value(protocol, metric, made, real) == pytest.approx(expected, rel=1e-6)


def test_fad_inf_of_fadtk_is_of_its_sizes():
    """score_inf: 25 sizes from 500 to all, drawn again and again."""
    made, real = heard(310, 0, windows=(2, 2)), heard(60, 1, windows=(2, 3))
    rng, rows = np.random.default_rng(0), made.embedding.astype(np.float16)
    sizes = [int(n) for n in np.linspace(500, len(rows), 25)]
    values = []
    for size in sizes:
        drawn = rows[rng.choice(len(rows), size, replace=True)]
        mean, cov = drawn.mean(0).astype(float), np.cov(drawn, rowvar=False)
        values.append(frechet_of(mean, cov, *fadtk_pooled(real)))
    expected = np.polyfit(1 / np.array(sizes), values, 1)[1]
    for metric in ("vggish-inf", "clap-laion-audio-inf"):
        assert value("fadtk", metric, made, real) == pytest.approx(expected, rel=1e-4)


def isc(logits):
    """calculate_isc of 10 splits, shuffled by 2020."""
    p = softmax(logits[np.random.RandomState(2020).permutation(len(logits))], axis=1)
    scores, n = [], len(p)
    for i in range(10):
        chunk = p[i * n // 10 : (i + 1) * n // 10]
        kl = chunk * (np.log(chunk) - np.log(chunk.mean(0, keepdims=True)))
        scores.append(np.exp(kl.sum(1).mean()))
    return np.mean(scores)


@pytest.mark.parametrize("protocol", ["audioldm", "tango", "auffusion"])
def test_audioldm_eval_computes(protocol):
    """calculate_kl: kl_div(input, target) is target (log target - input)."""
    made, real = heard(43, 0), heard(43, 1)
    q, p = (softmax(x.logits.astype(float), axis=1) for x in (made, real))
    kl = (p * (np.log(p) - np.log(q + EPS))).sum() / 43
    assert value(protocol, "KL_softmax", made, real) == pytest.approx(kl, rel=1e-6)
    q, p = (expit(x.logits.astype(float)) for x in (made, real))
    kl = (p * (np.log(p) - np.log(q + EPS))).sum() / 43
    assert value(protocol, "KL_sigmoid", made, real) == pytest.approx(kl, rel=1e-6)
    expected = isc(made.logits.astype(float))
    assert value(protocol, "IS", made, real) == pytest.approx(expected, rel=1e-6)


def test_av_benchmark_computes():
    made, real = heard(43, 0), heard(43, 1)
    q, p = (softmax(x.logits.astype(float), axis=1) for x in (made, real))
    kl = (p * (np.log(p) - np.log(q))).sum() / 43  # with log_target, no floor
    for metric in ("KL-PANNS-softmax", "KL-PASST-softmax"):
        assert value("meanaudio", metric, made, real) == pytest.approx(kl, rel=1e-6)
    expected = isc(made.logits.astype(float))
    for metric in ("ISC-PANNS-mean", "ISC-PASST-mean"):
        got = value("meanaudio", metric, made, real)
        assert got == pytest.approx(expected, rel=1e-6)


def test_stable_audio_metrics_computes():
    """KL(generated || reference), logits of windows averaged, a floor on the latter."""
    made, real = (heard(20, seed, windows=(1, 3)) for seed in (0, 1))
    total = 0.0
    for clip in range(20):
        q, p = (
            softmax(x.logits[x.clips == clip].astype(float).mean(0))
            for x in (made, real)
        )
        total += (q * (np.log(q) - np.log(p + EPS))).sum()
    got = value("stable_audio_metrics", "KL_PaSST", made, real)
    assert got == pytest.approx(total / 20, rel=1e-6)


@pytest.mark.parametrize(
    ("protocol", "scale", "of", "kept"),
    [
        ("kadtk", 100, "made", np.float16),
        ("kadtk_as_written", 1000, "real", np.float32),
    ],
)
def test_kadtk_computes(protocol, scale, of, kept):
    """calc_kernel_audio_distance; as written the yardstick is the reference."""
    made, real = heard(31, 0, windows=(1, 2)), heard(26, 1, windows=(1, 2))
    y, x = (s.embedding.astype(kept).astype(float) for s in (made, real))
    z = {"made": y, "real": x}[of]
    distances = [np.linalg.norm(z[i] - z[j]) for i in range(len(z)) for j in range(i)]
    middle = np.sort(distances)[(len(distances) - 1) // 2]
    width = middle if protocol == "kadtk" else np.median(distances)
    gamma = 1 / (2 * width**2 + 1e-8)

    def kernel(a, b):
        return np.exp(-gamma * np.square(a[:, None] - b[None]).sum(-1))

    def within(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    expected = scale * (within(x) + within(y) - 2 * kernel(x, y).mean())
    for metric in TABLE[protocol].metrics:
        assert value(protocol, metric, made, real) == pytest.approx(expected, rel=1e-4)
