"""All that is measured of one system: its clips against those of a split.

Clips that a system makes for the captions of a split are compared with the split's real
clips. Some measures give a number a caption, some one for the whole set.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.audio.mel import full_band
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import RESOLUTIONS, multi_resolution_stft
from diffusion_audio.data.source import Source, drawn_evenly, evenly
from diffusion_audio.errors import unknown
from diffusion_audio.evaluation.attribute_classifier import AttributeClassifier
from diffusion_audio.evaluation.distributions import (
    frechet_distance,
    frechet_extrapolated,
)
from diffusion_audio.evaluation.kernel import SCALE as KERNEL_SCALE
from diffusion_audio.evaluation.kernel import discrepancy, median_distance
from diffusion_audio.evaluation.metrics import (
    BANDS,
    band_errors,
    health,
    log_spectral_distance,
    mel_l1,
)
from diffusion_audio.evaluation.posteriors import EPS, inception_score, kl_divergence
from diffusion_audio.evaluation.protocol import Protocol, array_hash, text_hash
from diffusion_audio.generation.batches import in_batches, joined

RESAMPLER = "soxr HQ of real clips that have another rate; none of generated ones"
OWN_CLASSIFIER = (
    "the project's own classifier of captioned attributes, trained on real clips"
)

Better = Literal["higher", "lower"]
LEAST_CLIPS = 16  # for distances between sets; see `distributions.frechet_extrapolated`
ATTRIBUTE_PREFIX = "adherence/"  # before the name of an attribute


class Measure(NamedTuple):
    """A measure, as tables name it.

    Attributes:
        title: what it is, in a few words.
        definition: how it is computed, for its protocol.
        percent: it is a share, shown in percent.
        reference: whether the real clips of the same captions take part.
        by_classifier: whether the attribute classifier takes part.
        better: which direction is.
    """

    title: str
    definition: str
    percent: bool = False
    reference: bool = False
    by_classifier: bool = False
    better: Better = "lower"


def _share(title: str, definition: str) -> Measure:
    return Measure(title, definition, percent=True, by_classifier=True, better="higher")


def _by_classifier(title: str, definition: str) -> Measure:
    return Measure(title, definition, reference=True, by_classifier=True)


MEASURES: dict[str, Measure] = {
    "adherence": _share(
        "Attributes right", "share of a clip's attributes heard as captioned"
    ),
    "all_right": _share(
        "All attributes right", "share of clips with every attribute as captioned"
    ),
    "frechet": _by_classifier(
        "Fréchet distance (own classifier)",
        "float64, singular values; on one embedding a clip",
    ),
    "frechet_extrapolated": _by_classifier(
        "Fréchet distance, n to infinity (own classifier)",
        "intercept of a line over 1/n; 12 subsets of clips from n/4 to n, without "
        "replacement, seed 0",
    ),
    "kernel": _by_classifier(
        "Kernel distance (own classifier)",
        f"{KERNEL_SCALE:g} x unbiased MMD^2, Gaussian kernel, bandwidth the median "
        "distance within the reference",
    ),
    "kl_reference_generated": _by_classifier(
        "KL(reference || generated)",
        f"nats of joint posteriors of clips of one caption, eps {EPS:g} on generated",
    ),
    "kl_generated_reference": _by_classifier(
        "KL(generated || reference)",
        f"nats of joint posteriors of clips of one caption, eps {EPS:g} on reference",
    ),
    "inception_score": Measure(
        "Inception score (own classifier)",
        "joint posteriors, one split of all clips",
        by_classifier=True,
        better="higher",
    ),
    "mel_l1_full_band": Measure(
        "Mel L1 of the full band to the real clip",
        "mean absolute difference of log-mels of all bands, floor 1e-5: HiFi-GAN's "
        "validation error",
        reference=True,
    ),
    "mel_l1": Measure(
        "Mel L1 to the real clip",
        "mean absolute difference of the model's log-mels to the clip of the caption",
        reference=True,
    ),
    "multi_resolution_stft": Measure(
        "Multi-resolution STFT to the real clip",
        "spectral convergence + L1 of log magnitudes; (fft, hop, window) "
        f"{RESOLUTIONS}",
        reference=True,
    ),
    "log_spectral_distance": Measure(
        "Log-spectral distance to the real clip",
        "ssr_eval's, frames of 46 ms every 10 ms, eps 1e-12, float64",
        reference=True,
    ),
    "given_bands": Measure(
        "Log-spectral error of the mels' own bands (dB)",
        "absolute, frames of 46 ms, floor 80 dB below a full-scale sine; octave bands "
        "up to the highest frequency of the model's mels",
        reference=True,
    ),
    "top_band": Measure(
        "Log-spectral error of the highest band (dB)",
        "absolute, frames of 46 ms, floor 80 dB below a full-scale sine; the highest "
        "octave, where a vocoder's lines are",
        reference=True,
    ),
    "faults": Measure(
        "Broken clips",
        "share that is not finite, below -60 dB, clipped in more than 0.1 % of samples "
        "or with a mean beyond 0.01",
        percent=True,
    ),
}


def about(metric: str) -> Measure:
    """What is measured under a name: one of ``MEASURES``, or of one attribute.

    Args:
        metric: ``adherence/NAME`` is of the attribute NAME of a labelled source.

    Raises:
        UserError: there is no such measure.
    """
    before, _, attribute = metric.partition(ATTRIBUTE_PREFIX)
    if attribute and not before:
        return _share(
            f"Right: {attribute}",
            f"share of clips whose {attribute} is heard as captioned",
        )
    if metric not in MEASURES:
        raise unknown("metric", metric, (*MEASURES, f"{ATTRIBUTE_PREFIX}NAME"))
    return MEASURES[metric]


class Reference(NamedTuple):
    """What systems are compared with. Made by `draw_reference`.

    Attributes:
        captions: P prompts.
        audio: their real clips [P, N].
        fingerprint: hash of all clips of the split, and of those of the prompts; of
            the latter alone without a classifier.
        features: what the attribute classifier makes of them; None without one.
    """

    captions: list[str]
    audio: np.ndarray
    fingerprint: str
    features: "ReferenceFeatures | None"

    def first(self, count: int) -> "Reference":
        """The first prompts; the set stays whole."""
        features = self.features and self.features._replace(
            requested=self.features.requested[:count],
            posteriors=self.features.posteriors[:count],
        )
        return self._replace(
            captions=self.captions[:count], audio=self.audio[:count], features=features
        )


class ReferenceFeatures(NamedTuple):
    """Real clips, as the attribute classifier sees them.

    Attributes:
        classifier: the same for what is compared with them.
        requested: int32 [P, A], the classes that the prompts ask for.
        posteriors: [P, K] of their clips.
        embeddings: [M, D] of all clips of the split.
    """

    classifier: AttributeClassifier
    requested: np.ndarray
    posteriors: np.ndarray
    embeddings: np.ndarray


def draw_reference(
    source: Source,
    count: int,
    samples: int,
    classifier: AttributeClassifier | None,
    seed: int = 0,
) -> Reference:
    """Real clips of a split, ``count`` of them and their captions spread evenly.

    Args:
        source: real clips; bad ones are left out.
        count: number of prompts; at most all clips of the source.
        samples: length N of a clip.
        classifier: of their attributes; all other clips of the split go through it
            too. None: no measure that rests on it.
        seed: of crops.

    Raises:
        UserError: no clip is good, or the classifier does not fit their attributes.
    """
    if classifier is not None:
        classifier.require(source)  # before clips are read, which takes long
    total = len(source) if classifier else count
    clips = drawn_evenly(source, total, samples, seed)
    chosen = evenly(len(clips), count)
    audio = np.stack([clip["audio"] for clip in clips])
    prompts = [clips[i] for i in chosen]
    features = None
    if classifier is not None:
        features = ReferenceFeatures(
            classifier,
            requested=classifier.requested(
                source, [clip["attributes"] for clip in prompts]
            ),
            posteriors=classifier.posteriors(audio[chosen]),
            embeddings=classifier.embeddings(audio),
        )
    return Reference(
        [clip["caption"] or clip["id"] for clip in prompts],
        audio[chosen],
        array_hash(audio, chosen),
        features,
    )


def measure(
    reference: Reference, waves: np.ndarray, spec: AudioSpec
) -> dict[str, np.ndarray]:
    """Every measure of a system's clips; those by the classifier, if there is one.

    Args:
        reference: P prompts.
        waves: [G, P, N], G sounds of each prompt.
        spec: of the model's mels.

    Returns:
        By name, see `about`: [P], means over the G sounds, or [1] for the set.
    """
    sounds, prompts, samples = waves.shape
    flat = waves.reshape(-1, samples)
    real = np.tile(reference.audio, (sounds, 1))
    given = max(1, sum(edge <= spec.top for edge in BANDS[1:]))

    def distances(real: np.ndarray, made: np.ndarray) -> dict[str, Any]:
        pair = jnp.asarray(real), jnp.asarray(made)
        errors = band_errors(*pair, spec.sample_rate)
        return {
            "mel_l1": mel_l1(spec, *pair),
            "mel_l1_full_band": mel_l1(full_band(spec), *pair),
            "multi_resolution_stft": multi_resolution_stft(*pair),
            "log_spectral_distance": log_spectral_distance(*pair, spec.sample_rate),
            "given_bands": errors[:, :given].mean(1),
            "top_band": errors[:, -1],
            "faults": np.array([bool(fault) for fault in health(pair[1]).faults()]),
        }

    by_clip = joined(in_batches(distances, real, flat))
    by_set: dict[str, float] = {}
    if reference.features is not None:
        predicted, by_set = _of_attributes(reference.features, flat, sounds)
        by_clip |= predicted
    means = {
        name: np.asarray(values, np.float64).reshape(sounds, prompts).mean(0)
        for name, values in by_clip.items()
    }
    return means | {name: np.array([value]) for name, value in by_set.items()}


def _of_attributes(
    real: ReferenceFeatures, waves: np.ndarray, sounds: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Measures by the classifier of clips [G P, N]: of each, of the set if large."""
    requested = np.tile(real.requested, (sounds, 1))
    expected = np.tile(real.posteriors, (sounds, 1))
    right = real.classifier.predicted(waves) == requested
    posteriors = real.classifier.posteriors(waves)
    by_clip = {
        "adherence": right.mean(1),
        "all_right": right.all(1),
        **{
            f"{ATTRIBUTE_PREFIX}{n}": right[:, i]
            for i, n in enumerate(real.classifier.values)
        },
        "kl_reference_generated": kl_divergence(expected, posteriors),
        "kl_generated_reference": kl_divergence(posteriors, expected),
    }
    if len(waves) < LEAST_CLIPS:
        return by_clip, {}
    theirs, made = real.embeddings, real.classifier.embeddings(waves)
    return by_clip, {
        "frechet": frechet_distance(theirs, made),
        "frechet_extrapolated": frechet_extrapolated(theirs, made).value,
        "kernel": KERNEL_SCALE
        * discrepancy(theirs, made, median_distance(theirs)).value,
        "inception_score": inception_score(posteriors).value,
    }


def protocols(
    reference: Reference,
    spec: AudioSpec,
    *,
    vocoder: str,
    sampling_seeds: tuple[int, ...],
) -> dict[str, Protocol]:
    """How `measure` makes each of its numbers."""
    prompts, samples = reference.audio.shape
    names, features = list(MEASURES), reference.features
    if features is None:
        names = [name for name in names if not MEASURES[name].by_classifier]
    else:
        names += [f"{ATTRIBUTE_PREFIX}{label}" for label in features.classifier.values]
    weights = features.classifier.weights if features else ""
    made = {}
    for name in names:
        this = about(name)
        clips = prompts if this.reference else 0
        if features and name in ("frechet", "frechet_extrapolated", "kernel"):
            clips = len(features.embeddings)
        made[name] = Protocol(
            metric=name,
            definition=this.definition,
            reference=reference.fingerprint if this.reference else "",
            reference_clips=clips,
            prompts=text_hash(reference.captions),
            clips=prompts * len(sampling_seeds),
            sample_rate=spec.sample_rate,
            seconds=samples / spec.sample_rate,
            loudness="as generated",
            resampler=RESAMPLER,
            vocoder=vocoder,
            embedding=OWN_CLASSIFIER if this.by_classifier else "",
            embedding_weights=weights if this.by_classifier else "",
            sampling_seeds=sampling_seeds,
            settings={"audio_spec": spec.hash},
        )
    return made
