"""Metrics on class posteriors [n, K], or the logits of such, of any classifier."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit, log_softmax

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
    _require_pairs(p, q)
    terms = np.zeros_like(p)
    some = p > 0
    terms[some] = p[some] * np.log(p[some] / (q[some] + EPS))
    return terms.sum(1)


def softmax_kl(p: np.ndarray, q: np.ndarray, *, eps: float = 0.0) -> np.ndarray:
    """KL(p || q) of each pair of rows of logits, one class a clip: nats [n].

    Args:
        p: logits [n, K].
        q: logits [n, K]; row by row, the counterparts.
        eps: added to the probabilities that are divided by; 0 is the divergence itself.
    """
    _require_pairs(p, q)
    log_p, log_q = (log_softmax(np.asarray(x, np.float64), axis=1) for x in (p, q))
    if eps:
        log_q = np.log(np.exp(log_q) + eps)
    return (np.exp(log_p) * (log_p - log_q)).sum(1)


def bernoulli_kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of each pair of rows of logits, each class there or not: nats [n].

    The sum of the classes' divergences, of both answers of each.
    """
    _require_pairs(p, q)
    p, q = (np.asarray(x, np.float64) for x in (p, q))
    there = expit(p) * (log_expit(p) - log_expit(q))
    absent = expit(-p) * (log_expit(-p) - log_expit(-q))
    return (there + absent).sum(1)


def half_bernoulli_kl(p: np.ndarray, q: np.ndarray, *, eps: float) -> np.ndarray:
    """`bernoulli_kl` without the classes' absence: audioldm_eval's, for its numbers.

    ``sum p ln(p / (q + eps))``; no divergence, as it may be below 0.
    """
    _require_pairs(p, q)
    p, q = (np.asarray(x, np.float64) for x in (p, q))
    return (expit(p) * (log_expit(p) - np.log(expit(q) + eps))).sum(1)


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

    With 10 splits and the seed 2020 it is that of audioldm_eval, clip by clip.

    Args:
        posteriors: [n, K].
        splits: parts as equal as can be, of all clips.
        seed: of the shuffle, by NumPy's older generator.
    """
    p = _checked(posteriors)
    if len(p) < splits:
        raise UserError(f"inception score: {splits} splits of {len(p)} clips are empty")
    order = np.random.RandomState(seed).permutation(len(p))
    p = p[order]
    edges = np.arange(splits + 1) * len(p) // splits
    scores = []
    for i in range(splits):
        part = p[edges[i] : edges[i + 1]]
        marginal = part.mean(0)
        logs = np.log(np.where(part > 0, part, 1.0))
        logs -= np.log(np.where(part > 0, marginal, 1.0))
        scores.append(np.exp((part * logs).sum(1).mean()))
    return InceptionScore(
        float(np.mean(scores)), float(np.std(scores)), len(p) // splits
    )


def _require_pairs(p: np.ndarray, q: np.ndarray) -> None:
    if p.shape != q.shape or p.ndim != 2:
        raise UserError(
            f"KL: expected pairs of one shape [n, K], got {p.shape} and {q.shape}"
        )


def _checked(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if p.ndim != 2 or not len(p):
        raise UserError(f"expected posteriors [n, K], got {p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(1), 1)):
        raise UserError("expected posteriors: rows that are not negative and sum to 1")
    return p
