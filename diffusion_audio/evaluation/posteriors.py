"""Metrics on class posteriors [n, K], whichever classifier gave them."""

from typing import NamedTuple

import numpy as np

from diffusion_audio.errors import UserError

EPS = 1e-6  # added to what is divided by, as audioldm_eval and audiocraft do


def kl_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of each pair of rows: nats [n].

    ``sum p ln(p / (q + eps))`` with eps 1e-6. With ``p`` of reference clips and ``q``
    of generated ones this is the KL of audioldm_eval; published numbers of
    stable-audio-metrics go the other way. Never compare the two.

    Args:
        p: posteriors [n, K].
        q: posteriors [n, K]; row by row, the counterparts.
    """
    p, q = _checked(p), _checked(q)
    if p.shape != q.shape:
        raise UserError(
            f"KL: expected pairs of one shape [n, K], got {p.shape} and {q.shape}"
        )
    terms = np.zeros_like(p)
    some = p > 0
    terms[some] = p[some] * np.log(p[some] / (q[some] + EPS))
    return terms.sum(1)


class InceptionScore(NamedTuple):
    """Mean over splits, their standard deviation, and clips a split.

    A split of n clips cannot score above n.
    """

    value: float
    std: float
    clips_per_split: int


def inception_score(
    posteriors: np.ndarray, *, splits: int = 1, seed: int = 2020
) -> InceptionScore:
    """``exp E KL(p(y|x) || p(y))`` (Salimans et al. 2016), over shuffled splits.

    Args:
        posteriors: [n, K].
        splits: equal parts; clips left over are not used.
        seed: of the shuffle; 2020, with 10 splits, as audioldm_eval, which
            draws by NumPy's older generator.
    """
    p = _checked(posteriors)
    size = len(p) // splits
    if size < 1:
        raise UserError(f"inception score: {splits} splits of {len(p)} clips are empty")
    p = p[np.random.default_rng(seed).permutation(len(p))]
    scores = []
    for i in range(splits):
        part = p[i * size : (i + 1) * size]
        marginal = part.mean(0)
        logs = np.log(np.where(part > 0, part, 1.0))
        logs -= np.log(np.where(part > 0, marginal, 1.0))
        scores.append(np.exp((part * logs).sum(1).mean()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), size)


def _checked(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if p.ndim != 2 or not len(p):
        raise UserError(f"expected posteriors [n, K], got {p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(1), 1)):
        raise UserError("expected posteriors: rows that are not negative and sum to 1")
    return p
