"""Metrics against auraloss and torchmetrics on the same arrays, to 1e-4."""

import numpy as np
import pytest

from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.evaluation.distributions import frechet_distance
from diffusion_audio.evaluation.metrics import si_sdr
from diffusion_audio.evaluation.posteriors import inception_score, kl_divergence

pytestmark = [
    pytest.mark.parity,
    # Of the references themselves, on import and on few samples.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

torch = pytest.importorskip("torch")
auraloss = pytest.importorskip("auraloss")
torchmetrics = pytest.importorskip("torchmetrics")


@pytest.fixture(scope="module")
def pair():
    """References and estimates [3, 8192]: a tone, noise, and silence at an end."""
    rng = np.random.default_rng(0)
    time = np.arange(8192) / 16000
    tone = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 12))
    ref = np.stack([0.2 * tone, 0.1 * rng.normal(size=8192), 0.3 * tone])
    ref[2, 4096:] = 0.0
    est = 0.8 * ref + 0.02 * rng.normal(size=ref.shape)
    return ref.astype(np.float32), est.astype(np.float32)


def test_multi_resolution_stft(pair):
    loss = auraloss.freq.MultiResolutionSTFTLoss()
    expected = [
        float(loss(torch.tensor(est)[None, None], torch.tensor(ref)[None, None]))
        for ref, est in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(multi_resolution_stft(*pair), expected, rtol=1e-4)


def test_si_sdr(pair):
    ref, est = map(torch.tensor, pair)
    measure = torchmetrics.functional.audio.scale_invariant_signal_distortion_ratio
    expected = measure(est, ref, zero_mean=True).numpy()
    np.testing.assert_allclose(si_sdr(*pair), expected, rtol=1e-4)


class Given(torch.nn.Module):
    """In the place of a network: the embeddings themselves."""

    num_features = 6

    def forward(self, x):
        return x


def test_frechet_distance():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6)) + 0.5
    measure = torchmetrics.image.fid.FrechetInceptionDistance(feature=Given())
    measure.set_dtype(torch.float64)
    measure.update(torch.tensor(a), real=True)
    measure.update(torch.tensor(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(measure.compute()), rel=1e-4)


def test_kl_divergence():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(9), size=(2, 20))
    expected = torchmetrics.functional.kl_divergence(torch.tensor(p), torch.tensor(q))
    assert kl_divergence(p, q).mean() == pytest.approx(float(expected), abs=1e-4)


def test_inception_score():
    rng = np.random.default_rng(3)
    logits = 3 * rng.normal(size=(40, 6))
    inception = pytest.importorskip("torchmetrics.image.inception")
    measure = inception.InceptionScore(feature=Given(), splits=1)
    measure.update(torch.tensor(logits))
    expected, _ = measure.compute()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert inception_score(p).value == pytest.approx(float(expected), rel=1e-4)
