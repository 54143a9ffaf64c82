import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from diffusion_audio.data import pipeline, public
from diffusion_audio.data.open import open_source, prepare, split_names
from diffusion_audio.errors import UserError

RATE = 16_000
LABELS = ["yes", "no", "_silence_", "_unknown_"]


def note(index: int) -> np.ndarray:
    return np.sin(2 * np.pi * (200 + index) * np.arange(4000) / RATE)


class FakeNotes(tfds.core.GeneratorBasedBuilder):
    """The features of nsynth, with a Tensor where it has Audio."""

    name = "nsynth"
    pkg_dir_path = None
    VERSION = tfds.core.Version("2.3.3")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="full"),)

    def _info(self) -> tfds.core.DatasetInfo:
        family = tfds.features.ClassLabel(names=["bass", "synth_lead"])
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "audio": tfds.features.Tensor(shape=(4000,), dtype=np.float32),
                    "pitch": tfds.features.ClassLabel(num_classes=128),
                    "instrument": {
                        "family": family,
                        "source": tfds.features.ClassLabel(names=["acoustic"]),
                    },
                    "qualities": {"bright": np.bool_},
                }
            ),
        )

    def _split_generators(self, dl_manager: object) -> dict:
        return {
            "train": self._generate_examples(6),
            "valid": self._generate_examples(2),
        }

    def _generate_examples(self, count: int):
        for i in range(count):
            wave = note(i).astype(np.float32)
            if count == 6 and i == 3:
                wave[7] = np.nan
            yield (
                i,
                {
                    "id": f"note{i}",
                    "audio": wave,
                    "pitch": 60 + i,
                    "instrument": {"family": i % 2, "source": 0},
                    "qualities": {"bright": True},
                },
            )


class FakeCommands(tfds.core.GeneratorBasedBuilder):
    """The features of speech_commands, without its validation split."""

    name = "speech_commands"
    pkg_dir_path = None
    VERSION = tfds.core.Version("0.0.3")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "audio": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                    "label": tfds.features.ClassLabel(names=LABELS),
                }
            ),
        )

    def _split_generators(self, dl_manager: object) -> dict:
        return {"train": self._generate_examples(40)}

    def _generate_examples(self, count: int):
        for i in range(count):
            wave = np.full(100, -(2**15), np.int64)
            wave[0] = i
            yield i, {"audio": wave, "label": i % 4}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    for builder in (FakeNotes, FakeCommands):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_float_audio_and_captions_of_nested_labels(data_dir: Path) -> None:
    source = open_source("tfds:nsynth/full", "validation", RATE, data_dir=data_dir)
    clips = sorted((source[i] for i in range(2)), key=lambda c: c["caption"])
    assert [c["caption"] for c in clips] == [
        "acoustic bass playing C4",
        "acoustic synth lead playing C#4",
    ]
    assert clips[0]["audio"].dtype == np.float32
    np.testing.assert_allclose(clips[0]["audio"], note(0), atol=1e-6)
    assert clips[1]["attributes"] == {
        "pitch": "61",
        "instrument/family": "synth_lead",
        "instrument/source": "acoustic",
    }
    assert source.attributes["instrument/family"] == ("bass", "synth_lead")
    assert source.captions() == [source[i]["caption"] for i in range(2)]
    assert source.name == "tfds:nsynth/full/2.3.3/valid"


def test_resampled_to_the_rate_that_is_asked_for(data_dir: Path) -> None:
    source = open_source("tfds:nsynth", "validation", 8_000, data_dir=data_dir)
    assert len(source[0]["audio"]) == 2000


def test_bad_rows_are_skipped_by_the_pipeline(data_dir: Path) -> None:
    source = open_source("tfds:nsynth", "train", RATE, data_dir=data_dir)
    stream = pipeline.batches(source, batch_size=1, samples=900, seed=0, repeat=False)
    assert len(list(stream)) == 5
    assert stream.skipped == {"non-finite": 1}


def test_integer_audio_is_scaled_and_training_gives_up_a_part(data_dir: Path) -> None:
    train, held = (
        open_source("tfds:speech_commands", split, RATE, data_dir=data_dir)
        for split in ("train", "validation")
    )
    assert (len(train), len(held)) == (38, 2)
    waves = [s[i]["audio"] for s in (train, held) for i in range(len(s))]
    assert sorted(round(w[0] * 32768) for w in waves) == list(range(40))
    assert waves[0][1] == -1.0
    assert set(train.captions()) == {
        "someone says yes",
        "someone says no",
        "background noise",
        "someone says a word",
    }
    assert train.fingerprint() != held.fingerprint()
    assert train.inventory() == {}
    drawn = train.draw(0, 30, np.random.default_rng(0))
    assert drawn["audio"].shape == (30,)


@pytest.mark.parametrize("name", public.PUBLIC)
def test_every_known_set_has_a_caption(name: str) -> None:
    row = {
        "pitch": "69",
        "instrument/family": "keyboard",
        "instrument/source": "electronic",
        "text_normalized": "in the beginning",
        "label": "jazz",
    }
    said = public.PUBLIC[name].caption(row)
    assert any(word in said for word in ("A4", "in the beginning", "jazz"))


def test_what_is_not_there_is_one_clear_error(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown public set 'nsinth'; did you mean"):
        open_source("tfds:nsinth", data_dir=data_dir)
    with pytest.raises(
        UserError, match=r"tfds:gtzan is not prepared in .*data prepare"
    ):
        open_source("tfds:gtzan", data_dir=data_dir)
    with pytest.raises(UserError, match="not prepared"):
        open_source("tfds:nsynth/gansynth_subset", data_dir=data_dir)
    assert split_names("tfds:nsynth", data_dir=data_dir) == ("train", "validation")
    with pytest.raises(UserError, match="unknown split of tfds:nsynth 'dev'"):
        open_source("tfds:nsynth", "dev", data_dir=data_dir)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is there"
)
def test_without_tensorflow_the_extra_is_named(
    data_dir: Path, tmp_path: Path, capfd
) -> None:
    with pytest.raises(UserError, match=r"pip install 'diffusion-audio\[tfds\]'"):
        public.prepare_public("gtzan", tmp_path)
    # A set prepared elsewhere with TensorFlow: its audio is a feature of its own.
    version = tmp_path / "speech_commands" / "0.0.3"
    version.parent.mkdir()
    for path in (data_dir / "speech_commands" / "0.0.3").iterdir():
        version.mkdir(exist_ok=True)
        (version / path.name).write_bytes(path.read_bytes())
    features = json.loads((version / "features.json").read_text())
    features["featuresDict"]["features"]["audio"] = {
        "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
        "audio": {
            "shape": {"dimensions": ["-1"]},
            "dtype": "int16",
            "encoding": "NONE",
            "sampleRate": "16000",
        },
    }
    (version / "features.json").write_text(json.dumps(features))
    capfd.readouterr()
    with pytest.raises(UserError, match=r"pip install 'diffusion-audio\[tfds\]'"):
        open_source("tfds:speech_commands", data_dir=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_prepare_counts_clips_and_leaves_stdout_alone(
    tmp_path: Path, monkeypatch, capfd
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert prepare("tfds:speech_commands", data_dir=tmp_path) == {"train": 40}
    assert capfd.readouterr().out == ""
    assert len(open_source("tfds:speech_commands", data_dir=tmp_path)) == 38
