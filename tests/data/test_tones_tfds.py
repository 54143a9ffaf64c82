import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_audio.data import tones, tones_tfds
from diffusion_audio.data.open import open_source, prepare
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the set: one clip of each triple."""
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tones, "SPLITS", {"train": 1, "validation": 1, "held_out": 1})
        counts = prepare("tones", data_dir=folder)
    assert counts == {"train": 168, "validation": 168, "held_out": 24}
    return folder


@pytest.fixture(scope="module")
def source(data_dir: Path) -> Source:
    return open_source("tones", "held_out", data_dir=data_dir)


def test_what_is_stored_is_what_is_synthesised(source: Source) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tones, "SPLITS", {"train": 1, "validation": 1, "held_out": 1})
        planned = {clip.name: clip for clip in tones.plan("held_out")}
    assert len(source) == len(planned) == 24
    for i in range(0, 24, 6):
        clip = source[i]
        plan = planned[clip["id"]]
        wave = tones.synthesize(plan.attributes, plan.seed)
        np.testing.assert_allclose(clip["audio"], wave, atol=0.6 / 32767)
        assert clip["audio"].dtype == np.float32
        assert clip["caption"] == tones.caption(plan.attributes, plan.seed)
        assert clip["attributes"] == plan.attributes
        assert source.describe(i) == {k: v for k, v in clip.items() if k != "audio"}
    assert source.attributes == tones.ATTRIBUTES
    assert source.captions()[3] == source[3]["caption"]


def test_crops_pads_and_other_rates(source: Source, data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    assert source.draw(0, 1000, rng)["audio"].shape == (1000,)
    assert not source.draw(0, 20_000, rng)["audio"][16_384:].any()
    np.testing.assert_array_equal(
        source.draw(0, 16_384, rng)["audio"], source[0]["audio"]
    )
    other = open_source("tones", "held_out", 22_050, data_dir=data_dir)
    assert len(other[0]["audio"]) == round(16_384 * 22_050 / 16_000)


def test_prepared_once_without_tensorflow_or_a_word_on_stdout(
    data_dir: Path, capfd: pytest.CaptureFixture
) -> None:
    files = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    prepare("tones", data_dir=data_dir)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == files
    assert capfd.readouterr().out == ""
    assert "tensorflow" not in sys.modules


def test_fingerprints_tell_splits_apart(source: Source, data_dir: Path) -> None:
    assert source.fingerprint() == "tones/held_out:1.0.0"
    assert source.inventory() == {}


def test_unknown_split_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split of tones 'test'"):
        open_source("tones", "test", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch) -> None:
    def full(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tones_tfds.Tones, "download_and_prepare", full)
    with pytest.raises(UserError, match=r"cannot write the tones to .*No space left"):
        prepare("tones", data_dir=tmp_path)


def test_who_comes_second_uses_what_the_first_made(data_dir: Path, monkeypatch) -> None:
    answers = iter([False, True])  # not there when asked first, there after the error

    def exists(self: object) -> None:
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(tones_tfds.Tones, "is_prepared", lambda self: next(answers))
    monkeypatch.setattr(tones_tfds.Tones, "download_and_prepare", exists)
    assert len(open_source("tones", "held_out", data_dir=data_dir)) == 24


def test_preparing_and_training_look_where_tfds_is_told_to(tmp_path: Path) -> None:
    program = """
from diffusion_audio.data import tones
from diffusion_audio.data.open import open_source, prepare
plan = tones.plan
tones.plan = lambda split: plan(split)[:2]
prepare("tones")
print(len(open_source("tones", "held_out")))
"""
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "2\n", done.stderr
    assert (tmp_path / "tones").is_dir()
