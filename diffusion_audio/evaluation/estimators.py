"""From what a network heard of two sets of clips to one number with an interval.

Each estimator is a frozen dataclass of its constants, so that they can be part of a
`Protocol`'s hash, and is called with what was heard.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from scipy.special import softmax

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation import posteriors
from diffusion_audio.evaluation.distributions import Gaussian, frechet, gaussian
from diffusion_audio.evaluation.embeddings import require_embeddings
from diffusion_audio.evaluation.intervals import Interval, of_halves, of_mean
from diffusion_audio.evaluation.kernel import discrepancy, median_distance
from diffusion_audio.evaluation.neighbours import neighbours

Needs = Literal["generated", "reference", "pairs", "captions"]
LEAST = 4  # clips of a set whose halves are compared
NORMAL = 1.96  # standard errors to either side


class Heard(NamedTuple):
    """What a network heard of a set of clips, in the order of the clips.

    Attributes:
        embedding: float32 [W, D], of every window of every clip.
        logits: float32 [W, K]; None where the network has no classes.
        clips: int [W], the clip that each window is of, ascending from 0.
    """

    embedding: np.ndarray
    logits: np.ndarray | None
    clips: np.ndarray

    @property
    def size(self) -> int:
        """Number of clips."""
        return int(self.clips[-1]) + 1 if len(self.clips) else 0

    def rows(self, clips: np.ndarray) -> np.ndarray:
        """The windows of some clips, int."""
        return np.flatnonzero(np.isin(self.clips, clips))

    def mean_logits(self) -> np.ndarray:
        """Logits [n, K] of clips: means over their windows, float64.

        Raises:
            UserError: the network has no classes.
        """
        if self.logits is None:
            raise UserError("this metric takes a network with classes, such as cnn14")
        return self.means(self.logits)

    def direction(self) -> np.ndarray:
        """Mean over windows of embeddings of length 1, float64 [n, D]."""
        rows = np.asarray(self.embedding, np.float64)
        return self.means(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Means of windows' rows [W, ...] over each clip, float64."""
        starts = np.flatnonzero(np.diff(self.clips, prepend=-1))
        sums = np.add.reduceat(np.asarray(rows, np.float64), starts, axis=0)
        return sums / np.bincount(self.clips)[:, None]


class Seen(NamedTuple):
    """All that a metric is made of; of pairs, clip by clip in one order.

    Attributes:
        made: the generated clips.
        reference: the real ones; None where none were given.
        captions: [n, D] embeddings of the generated clips' captions, likewise.
    """

    made: Heard
    reference: Heard | None = None
    captions: np.ndarray | None = None


class Estimate(NamedTuple):
    """A number, and how sure it is.

    Attributes:
        value: as the protocol has it, at this number of clips.
        interval: 95 %, over clips; None where there are too few.
        more: other numbers of it, by name.
        notes: what to know before it is believed, a line each.
    """

    value: float
    interval: Interval | None = None
    more: dict[str, float] = {}  # noqa: RUF012 (never changed)
    notes: tuple[str, ...] = ()


class Estimator(Protocol):
    """Constants of a metric; see the module."""

    needs: ClassVar[Needs]

    def __call__(self, seen: Seen) -> Estimate:
        """The number."""
        ...


def _reference(seen: Seen) -> Heard:
    if seen.reference is None:
        raise UserError("this metric compares with real clips: give --reference=DIR")
    return seen.reference


@dataclass(frozen=True)
class FrechetDistance:
    """Frechet distance of all windows, its interval, and its value without bias.

    Attributes:
        stored: type that embeddings were kept in; ``"float16"`` as fadtk keeps them.
        splits: into random halves, for the interval and the bias.
        seed: of the splits.
    """

    stored: Literal["float32", "float16"] = "float32"
    splits: int = 10
    seed: int = 0
    needs: ClassVar[Needs] = "reference"

    def __call__(self, seen: Seen) -> Estimate:
        """``value`` at N; ``extrapolated`` to infinitely many where that can be."""
        sides = _reference(seen), seen.made
        require_embeddings(sides[0].embedding, sides[1].embedding, least=2)

        def distance(*clips: np.ndarray) -> float:
            parts = zip(sides, clips, strict=True)
            return frechet(*(self._fit(side, side.rows(c)) for side, c in parts))

        value = frechet(*(self._fit(side, slice(None)) for side in sides))
        counts = [side.size for side in sides]
        notes = _rank_notes(sides)
        if min(counts) < LEAST:
            return Estimate(value, notes=(*notes, "too few clips for an interval"))
        halves = of_halves(distance, counts, splits=self.splits, seed=self.seed)
        extrapolated = halves.extrapolated(value)
        low, high = halves.interval(extrapolated)
        more = {
            "extrapolated": extrapolated,
            "extrapolated_low": low,
            "extrapolated_high": high,
        }
        return Estimate(value, halves.interval(value), {} if notes else more, notes)

    def _fit(self, heard: Heard, rows: np.ndarray | slice) -> Gaussian:
        if self.stored == "float32":
            return gaussian(heard.embedding[rows])
        return _file_by_file(
            heard.embedding[rows].astype(np.float16), heard.clips[rows]
        )


def _rank_notes(sides: tuple[Heard, Heard]) -> tuple[str, ...]:
    """Says where a set is too small for its dimensions.

    Where halves of it have no covariance of full rank, the bias is no line over 1 / n,
    and what a line would make of it may be far below 0.
    """
    width = sides[0].embedding.shape[1]
    return tuple(
        f"{len(side.embedding)} {name} windows for {width} dimensions: "
        + (
            "the covariance is singular, so most of the value is bias"
            if len(side.embedding) <= width
            else "halves of them have a singular covariance"
        )
        + "; it is not extrapolated, and to be compared at this number of clips only"
        for name, side in zip(("reference", "generated"), sides, strict=True)
        if len(side.embedding) <= 2 * width
    )


def _file_by_file(rows: np.ndarray, clips: np.ndarray) -> Gaussian:
    """The Gaussian as fadtk pools it: each file's mean is rounded to float16."""
    _, index, counts = np.unique(clips, return_inverse=True, return_counts=True)
    exact = np.zeros((len(counts), rows.shape[1]))
    np.add.at(exact, index, rows.astype(np.float64))
    exact /= counts[:, None]
    rounded = exact.astype(np.float16).astype(np.float64)
    mean = counts @ rounded / len(rows)
    within = rows.astype(np.float64) - exact[index]
    between = np.sqrt(counts)[:, None] * (rounded - mean)
    scatter = np.concatenate([within, between]) / np.sqrt(len(rows) - 1)
    return Gaussian(mean, np.asarray(np.linalg.qr(scatter, mode="r")))


@dataclass(frozen=True)
class FrechetInfinity:
    """fadtk's FAD-inf: windows drawn with repetition, a line over 1 / n.

    Theirs is not seeded. Repeated windows make a subset narrower than its n says, so
    what is left of the bias differs from `FrechetDistance`'s extrapolation.

    Attributes:
        points: subset sizes, even in n.
        least: windows of the smallest.
        seed: of the subsets.
    """

    points: int = 25
    least: int = 500
    seed: int = 0
    needs: ClassVar[Needs] = "reference"

    def __call__(self, seen: Seen) -> Estimate:
        """The line's intercept; ``r_squared`` tells how well it fits."""
        reference = _reference(seen)
        require_embeddings(reference.embedding, seen.made.embedding, least=2)
        whole = _file_by_file(reference.embedding.astype(np.float16), reference.clips)
        rows = seen.made.embedding.astype(np.float16)
        sizes = np.linspace(self.least, len(rows), self.points).astype(int)
        if sizes[0] == sizes[-1]:
            raise UserError(f"FAD-inf needs other than {self.least} windows")
        rng = np.random.default_rng(self.seed)
        values = np.zeros(self.points)
        for i, size in enumerate(sizes):
            drawn = rows[rng.choice(len(rows), size)]
            together = np.zeros(size, int)  # one mean, rounded
            values[i] = frechet(whole, _file_by_file(drawn, together))
        slope, value = np.polyfit(1 / sizes, values, 1)
        residual = np.square(values - (slope / sizes + value)).sum()
        total = np.square(values - np.mean(values)).sum()
        fit = float(1 - residual / total) if total else 1.0
        more = {"slope": float(slope), "r_squared": fit}
        few = f"{len(rows)} windows, so sizes up to {self.least} repeat each of them"
        return Estimate(float(value), None, more, (few,) * (len(rows) < self.least))


@dataclass(frozen=True)
class KernelDistance:
    """Unbiased squared maximum mean discrepancy of all windows (KAD).

    Attributes:
        bandwidth: the set whose median distance is the kernel's bandwidth.
        lower: of an even number of distances the lower middle one, as PyTorch takes.
        scale: factor.
        stored: type that embeddings were kept in.
    """

    bandwidth: Literal["reference", "generated"] = "reference"
    lower: bool = False
    scale: float = 1000.0
    stored: Literal["float32", "float16"] = "float32"
    needs: ClassVar[Needs] = "reference"

    def __call__(self, seen: Seen) -> Estimate:
        """``bandwidth`` is told beside the value."""
        reference = _reference(seen)
        real, made = (
            np.asarray(side.embedding, np.dtype(self.stored))
            for side in (reference, seen.made)
        )
        yardstick = real if self.bandwidth == "reference" else made
        width = median_distance(yardstick, lower=self.lower)
        clips = reference.clips, seen.made.clips
        found = discrepancy(real, made, width, clips=clips)
        value, reach = self.scale * found.value, self.scale * found.error * NORMAL
        interval = Interval(value - reach, value + reach)
        return Estimate(value, interval, {"bandwidth": width})


@dataclass(frozen=True)
class Divergence:
    """Mean KL divergence of the posteriors of pairs of clips, in nats.

    Attributes:
        form: ``"softmax"``: one class a clip; ``"bernoulli"``: each class there or not;
            ``"half bernoulli"``: without the classes' absence, as audioldm_eval has it.
        of: the left of ``KL(left || right)``.
        eps: added to the probabilities that are divided by.
    """

    form: Literal["softmax", "bernoulli", "half bernoulli"] = "softmax"
    of: Literal["reference", "generated"] = "reference"
    eps: float = 0.0
    needs: ClassVar[Needs] = "pairs"

    def __call__(self, seen: Seen) -> Estimate:
        """Over clips; logits are averaged over a clip's windows first."""
        left, right = _reference(seen).mean_logits(), seen.made.mean_logits()
        if self.of == "generated":
            left, right = right, left
        if self.form == "softmax":
            values = posteriors.softmax_kl(left, right, eps=self.eps)
        elif self.form == "bernoulli":
            values = posteriors.bernoulli_kl(left, right)
        else:
            values = posteriors.half_bernoulli_kl(left, right, eps=self.eps)
        return Estimate(float(values.mean()), of_mean(values))


@dataclass(frozen=True)
class InceptionScore:
    """Inception score of the generated clips.

    Attributes:
        splits: parts of the clips, each with its own marginal.
        seed: of their shuffle.
    """

    splits: int = 1
    seed: int = 2020
    needs: ClassVar[Needs] = "generated"

    def __call__(self, seen: Seen) -> Estimate:
        """Mean over splits; ``std`` is over splits too."""
        given = softmax(seen.made.mean_logits(), axis=1)

        def score(clips: np.ndarray) -> float:
            chosen = given[clips]
            return posteriors.inception_score(
                chosen, splits=self.splits, seed=self.seed
            ).value

        found = posteriors.inception_score(given, splits=self.splits, seed=self.seed)
        more = {"std": found.std, "clips_per_split": float(found.clips_per_split)}
        note = f"cannot exceed {found.clips_per_split}, the clips of a split"
        if len(given) < max(LEAST, 2 * self.splits):
            return Estimate(found.value, more=more, notes=(note,))
        halves = of_halves(score, [len(given)])
        return Estimate(found.value, halves.interval(found.value), more, (note,))


@dataclass(frozen=True)
class CaptionCosine:
    """Mean cosine of a clip and its caption (CLAP score).

    The embeddings of a clip's windows are averaged.
    """

    needs: ClassVar[Needs] = "captions"

    def __call__(self, seen: Seen) -> Estimate:
        """Over clips."""
        if seen.captions is None:
            raise UserError("this metric compares with captions: give --captions=FILE")
        sounds, texts = seen.made.direction(), np.asarray(seen.captions, np.float64)
        lengths = np.linalg.norm(sounds, axis=1) * np.linalg.norm(texts, axis=1)
        values = (sounds * texts).sum(1) / lengths
        return Estimate(float(values.mean()), of_mean(values))


Share = Literal["precision", "recall", "density", "coverage"]


@dataclass(frozen=True)
class NeighbourShare:
    """Fidelity or diversity by nearest neighbours, of mean embeddings of clips.

    Attributes:
        share: which of `neighbours.Neighbours`; its interval holds the other set fixed.
        k: neighbours.
    """

    share: Share = "coverage"
    k: int = 5
    needs: ClassVar[Needs] = "reference"

    def __call__(self, seen: Seen) -> Estimate:
        """Over clips: of the reference for recall and coverage, else generated."""
        real, made = (
            heard.means(heard.embedding) for heard in (_reference(seen), seen.made)
        )
        values = getattr(neighbours(real, made, self.k), self.share)
        return Estimate(float(values.mean()), of_mean(values))
