"""Measures of clips against a labelled source, by a classifier that is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.attribute_classifier import AttributeClassifier
from diffusion_audio.evaluation.measures import (
    about,
    draw_reference,
    measure,
    protocols,
)

SPEC = PRESETS["tones_16k"]
KEYWORDS, SPEAKERS = ("no", "stop", "yes"), ("a", "b")


def logits(params, audio):
    """The first sample says the keyword, the second the speaker."""
    del params
    marks = jnp.round(10 * audio[:, :2])
    return tuple(
        -jnp.abs(marks[:, i, None] - jnp.arange(len(values), dtype="f4")[None])
        for i, values in enumerate((KEYWORDS, SPEAKERS))
    )


def embed(params, audio):
    del params
    return audio[:, :4]


VALUES = {"keyword": KEYWORDS, "speaker": SPEAKERS}
CLASSIFIER = AttributeClassifier(VALUES, {}, logits, embed)


class Commands:
    """Recordings of words, labelled as columns of metadata.csv would."""

    name = "commands/test"
    attributes = CLASSIFIER.values

    def __len__(self):
        return 24

    def draw(self, index, samples, rng):
        del rng
        noise = np.random.default_rng(index).normal(0, 0.05, samples)
        noise[:2] = index % 3 / 10, index % 2 / 10
        return {
            "audio": noise.astype(np.float32),
            "caption": f"caption {index}",
            "attributes": {
                "keyword": KEYWORDS[index % 3],
                "speaker": SPEAKERS[index % 2],
            },
            "id": str(index),
        }


@pytest.fixture(scope="module")
def reference():
    return draw_reference(Commands(), 18, 4096, CLASSIFIER)


def test_every_attribute_of_a_source_has_its_share(reference):
    made = reference.audio.copy()
    made[:9, 1] = 0.1 - made[:9, 1]  # half of them by the other speaker
    found = measure(reference, made[None], SPEC)
    means = {name: values.mean() for name, values in found.items()}
    assert means["adherence/keyword"] == 1
    assert means["adherence/speaker"] == means["all_right"] == 0.5
    assert means["adherence"] == 0.75
    assert about("adherence/speaker").title == "Right: speaker"
    how = protocols(reference, SPEC, vocoder="", sampling_seeds=(0,))
    assert how.keys() == found.keys()
    assert how["kernel"].reference_clips == 24
    assert how["mel_l1"].reference_clips == how["adherence"].clips == 18


def test_the_most_probable_class_is_predicted(reference):
    expected = reference.features.requested
    np.testing.assert_array_equal(CLASSIFIER.predicted(reference.audio), expected)
    with pytest.raises(UserError, match="scores of keyword are not all finite"):
        CLASSIFIER.predicted(np.full((2, 8), np.nan, np.float32))


def test_a_clip_without_an_attribute_is_refused():
    clips = [{"keyword": "no", "speaker": "a"}, {"keyword": "yes"}]
    with pytest.raises(UserError, match="1 of 2 clips of commands/test have no speak"):
        CLASSIFIER.requested(Commands(), clips)


def test_without_a_classifier_the_rest_is_measured(reference):
    plain = draw_reference(Commands(), 18, 4096, None)
    np.testing.assert_array_equal(plain.audio[0], reference.audio[0])
    found = measure(plain, plain.audio[None], SPEC)
    how = protocols(plain, SPEC, vocoder="", sampling_seeds=(0,))
    assert how.keys() == found.keys()
    assert not any(about(name).by_classifier for name in found)
    assert not found["mel_l1"].any()
    assert not found["mel_l1_full_band"].any()
    assert not found["top_band"].any()


def test_few_clips_have_no_distance_between_sets(reference):
    few = reference.first(3)
    found = measure(few, few.audio[None], SPEC)
    assert "adherence/keyword" in found
    assert not {"frechet", "kernel", "inception_score"} & found.keys()
