"""A classifier knows what its classes mean from its own run."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.attribute_classifier import load_attribute_classifier
from diffusion_audio.training import run
from tests.recipes import recipe

SPEC = PRESETS["tones_16k"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny classifier of two attributes of a folder."""
    root = tmp_path_factory.mktemp("classifier")
    (root / "audio").mkdir()
    rows = ["file_name,caption,split,pitch,loudness"]
    rng = np.random.default_rng(0)
    for i, (pitch, loudness) in enumerate([("low", "soft"), ("mid", "loud")] * 2):
        wave = 0.1 * rng.standard_normal(8192)
        soundfile.write(root / "audio" / f"{i}.wav", wave, 16_000)
        split = "train" if i < 2 else "validation"
        rows.append(f"{i}.wav,a {pitch} tone,{split},{pitch},{loudness}")
    (root / "audio" / "metadata.csv").write_text("\n".join(rows) + "\n")
    run.train(config(root), root / "run")
    return root


def config(root, classes=(2, 2)):
    made = recipe("classifier")
    made.data.update(source=f"folder:{root / 'audio'}", seconds=0.512, batch_size=2)
    made.data.labels = ("pitch", "loudness")
    made.classifier.update(classes=classes, channels=(4, 8), embedding=8, groups=2)
    made.train.update(steps=1, log_every=1)
    made.parallel.data = 1
    return made


def source(**attributes):
    return SimpleNamespace(name="clips", attributes=attributes)


def test_the_run_says_what_its_classes_mean(trained):
    classifier = load_attribute_classifier(trained / "run", SPEC)
    assert classifier.values == {"pitch": ("low", "mid"), "loudness": ("loud", "soft")}
    audio = np.zeros((3, 8192), np.float32)
    assert [score.shape for score in classifier(audio)] == [(3, 2), (3, 2)]
    # A set that knows fewer values, in another order, has the classifier's numbers.
    other = source(pitch=("mid",), loudness=("soft", "loud"))
    clip = {"pitch": "mid", "loudness": "soft"}
    np.testing.assert_array_equal(classifier.requested(other, [clip]), [[1, 1]])


def test_what_it_knows_too_little_of_is_refused(trained):
    classifier = load_attribute_classifier(trained / "run", SPEC)
    with pytest.raises(UserError, match="predicts loudness, which clips does not say"):
        classifier.require(source(pitch=("low",)))
    with pytest.raises(UserError, match="whose pitch is high; the classifier knows lo"):
        classifier.require(source(pitch=("low", "high"), loudness=("loud",)))


def test_the_number_of_classes_must_be_that_of_the_values(trained, tmp_path):
    with pytest.raises(UserError, match=r"2 of pitch, 2 of loudness; set it to \(2, 2"):
        run.train(config(trained, classes=(2, 3)), tmp_path / "run")


def test_labels_that_do_not_fit_the_run(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained / "run", copy)
    path = copy / "extras" / "labels.json"
    labels = json.loads(path.read_text())
    path.write_text(json.dumps(labels | {"pitch": ["low", "high"]}))
    with pytest.raises(UserError, match=r"labels\.json is not what this run wrote"):
        load_attribute_classifier(copy, SPEC)
    (copy / "files.json").unlink()  # as runs of earlier versions, which have no sums
    for changed, message in (
        (
            {"pitch": ["low", "mid"]},
            rf"labels\.json of {copy} is of the attributes pitch",
        ),
        (labels | {"pitch": ["low", "mid", "high"]}, "3 of pitch, 2 of loudness"),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(UserError, match=message):
            load_attribute_classifier(copy, SPEC)
    path.unlink()
    with pytest.raises(UserError, match=r"run lacks extras/labels\.json"):
        load_attribute_classifier(copy, SPEC)
