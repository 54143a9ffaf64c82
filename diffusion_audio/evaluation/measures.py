"""All that is measured of one system: its clips against those of a split.

Clips that a system makes for the captions of a split are compared with the split's real
clips. Some measures give a number a caption, some one for the whole set.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import RESOLUTIONS, multi_resolution_stft
from diffusion_audio.data.source import drawn_evenly
from diffusion_audio.errors import unknown
from diffusion_audio.evaluation.adherence import adherence
from diffusion_audio.evaluation.distributions import (
    KERNEL_SCALE,
    frechet_distance,
    frechet_extrapolated,
    kernel_distance,
    median_bandwidth,
)
from diffusion_audio.evaluation.judge import Judge
from diffusion_audio.evaluation.metrics import (
    health,
    log_spectral_distance,
    mel_l1,
)
from diffusion_audio.evaluation.posteriors import EPS, inception_score, kl_divergence
from diffusion_audio.evaluation.protocol import Protocol, array_hash, text_hash
from diffusion_audio.generation.batches import in_batches, joined

RESAMPLER = "soxr HQ of real clips that have another rate; none of generated ones"
JUDGE = "the project's own classifier of captioned attributes, trained on real clips"

OF_ATTRIBUTE = "adherence/"  # before the name of one that the judge tells


class Measure(NamedTuple):
    """A measure, as tables name it.

    Attributes:
        title: what it is, in a few words.
        definition: how it is computed, for its protocol.
        percent: it is a share, shown in percent.
        reference: whether the real clips of the same captions take part.
        judged: whether the judge takes part.
    """

    title: str
    definition: str
    percent: bool = False
    reference: bool = False
    judged: bool = False


def _share(title: str, definition: str) -> Measure:
    return Measure(title, definition, percent=True, judged=True)


def _judged(title: str, definition: str) -> Measure:
    return Measure(title, definition, reference=True, judged=True)


MEASURES: dict[str, Measure] = {
    "adherence": _share(
        "Attributes right", "share of a clip's attributes heard as captioned"
    ),
    "all_right": _share(
        "All attributes right", "share of clips with every attribute as captioned"
    ),
    "frechet": _judged(
        "Fréchet distance (own classifier)",
        "float64, singular values; on one embedding a clip",
    ),
    "frechet_extrapolated": _judged(
        "Fréchet distance, n to infinity (own classifier)",
        "intercept of a line over 1/n; 12 subsets of clips from n/4 to n, without "
        "replacement, seed 0",
    ),
    "kernel": _judged(
        "Kernel distance (own classifier)",
        f"{KERNEL_SCALE:g} x unbiased MMD^2, Gaussian kernel, bandwidth the median "
        "distance within the reference",
    ),
    "kl_reference_generated": _judged(
        "KL(reference || generated)",
        f"nats of joint posteriors of clips of one caption, eps {EPS:g} on generated",
    ),
    "kl_generated_reference": _judged(
        "KL(generated || reference)",
        f"nats of joint posteriors of clips of one caption, eps {EPS:g} on reference",
    ),
    "inception_score": Measure(
        "Inception score (own classifier)",
        "joint posteriors, one split of all clips",
        judged=True,
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
    before, _, attribute = metric.partition(OF_ATTRIBUTE)
    if attribute and not before:
        return _share(
            f"Right: {attribute}",
            f"share of clips whose {attribute} is heard as captioned",
        )
    if metric not in MEASURES:
        raise unknown("metric", metric, (*MEASURES, f"{OF_ATTRIBUTE}NAME"))
    return MEASURES[metric]


class Reference(NamedTuple):
    """What systems are compared with. Made by `draw_reference`.

    Attributes:
        captions: P prompts.
        asked: int32 [P, A], the classes that they ask for.
        audio: their real clips [P, N].
        every: embeddings [M, D] of all clips of the split.
        posteriors: [P, K] of the real clips.
        fingerprint: hash of all clips of the split, and of those of the prompts.
    """

    captions: list[str]
    asked: np.ndarray
    audio: np.ndarray
    every: np.ndarray
    posteriors: np.ndarray
    fingerprint: str


def draw_reference(source: Any, count: int, samples: int, judge: Judge) -> Reference:
    """Real clips of a split, ``count`` captions of them spread evenly.

    Args:
        source: real clips with captions; bad ones are left out.
        count: number of prompts; at most all clips of the source.
        samples: length N of a clip.
        judge: hears them.
    """
    clips = drawn_evenly(source, len(source), samples, seed=0)
    chosen = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    audio = np.stack([clip["audio"] for clip in clips])
    prompts = [clips[i] for i in chosen]
    return Reference(
        captions=[clip["caption"] for clip in prompts],
        asked=judge.asked(source, [clip["attributes"] for clip in prompts]),
        audio=audio[chosen],
        every=judge.embeddings(audio),
        posteriors=judge.posteriors(audio[chosen]),
        fingerprint=array_hash(audio, chosen),
    )


def measure(
    reference: Reference, waves: np.ndarray, judge: Judge, spec: AudioSpec
) -> dict[str, np.ndarray]:
    """Every measure of a system's clips.

    Args:
        reference: P prompts.
        waves: [G, P, N], G sounds of each prompt.
        judge: hears them.
        spec: of the model's mels.

    Returns:
        By name of ``MEASURES``: [P], means over the G sounds, or [1] for the set.
    """
    sounds, prompts, samples = waves.shape
    flat = waves.reshape(-1, samples)
    real = np.tile(reference.audio, (sounds, 1))
    asked = np.tile(reference.asked, (sounds, 1))
    heard = adherence(judge(flat), asked, judge.values)
    right = heard.heard == asked  # [G P, A]
    embedded = judge.embeddings(flat)
    posteriors = judge.posteriors(flat)
    theirs = np.tile(reference.posteriors, (sounds, 1))

    def distances(real: np.ndarray, made: np.ndarray) -> dict[str, Any]:
        pair = jnp.asarray(real), jnp.asarray(made)
        return {
            "mel_l1": mel_l1(spec, *pair),
            "multi_resolution_stft": multi_resolution_stft(*pair),
            "log_spectral_distance": log_spectral_distance(*pair, spec.sample_rate),
            "faults": np.array([bool(fault) for fault in health(pair[1]).faults()]),
        }

    by_clip = {
        "adherence": right.mean(1),
        "all_right": right.all(1),
        **{f"{OF_ATTRIBUTE}{name}": right[:, i] for i, name in enumerate(judge.values)},
        "kl_reference_generated": kl_divergence(theirs, posteriors),
        "kl_generated_reference": kl_divergence(posteriors, theirs),
        **joined(in_batches(distances, real, flat)),
    }
    by_set = {
        "frechet": frechet_distance(reference.every, embedded),
        "frechet_extrapolated": frechet_extrapolated(reference.every, embedded).value,
        "kernel": kernel_distance(
            reference.every, embedded, median_bandwidth(reference.every)
        ),
        "inception_score": inception_score(posteriors).value,
    }
    means = {
        name: np.asarray(values, np.float64).reshape(sounds, prompts).mean(0)
        for name, values in by_clip.items()
    }
    return means | {name: np.array([value]) for name, value in by_set.items()}


def protocols(
    reference: Reference,
    judge: Judge,
    spec: AudioSpec,
    *,
    vocoder: str,
    sampling_seeds: tuple[int, ...],
) -> dict[str, Protocol]:
    """How `measure` makes each of its numbers."""
    prompts, samples = reference.audio.shape
    made = {}
    for name in (*MEASURES, *(f"{OF_ATTRIBUTE}{label}" for label in judge.values)):
        this = about(name)
        of_set = name in ("frechet", "frechet_extrapolated", "kernel")
        made[name] = Protocol(
            metric=name,
            definition=this.definition,
            reference=reference.fingerprint if this.reference else "",
            reference_clips=(
                (len(reference.every) if of_set else prompts) if this.reference else 0
            ),
            prompts=text_hash(reference.captions),
            clips=prompts * len(sampling_seeds),
            sample_rate=spec.sample_rate,
            seconds=samples / spec.sample_rate,
            loudness="as generated",
            resampler=RESAMPLER,
            vocoder=vocoder,
            embedding=JUDGE if this.judged else "",
            embedding_weights=judge.weights if this.judged else "",
            sampling_seeds=sampling_seeds,
            settings={"audio_spec": spec.hash},
        )
    return made
