"""A vocoder that goes on with mels another model predicted: its step, whole runs."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from configs.vocoder import fine_tune
from diffusion_audio.audio.files import AudioFileError, read
from diffusion_audio.audio.mel import full_band, log_mel
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.data.mel_pairs import pair
from diffusion_audio.data.mel_scale import check_scale
from diffusion_audio.data.open import open_source
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.pretrained.folder import generator_config
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.study.evaluate import evaluate
from diffusion_audio.training import gan_losses, run
from diffusion_audio.training.probe import probe
from tests.recipes import folder_of_audio, tiny
from tests.tasks import make_task
from tests.training.tasks.test_vocoder import CONFIG, KEY, batch
from tests.training.tasks.test_vocoder import SPEC as TINY

SPEC = PRESETS["tones_16k"]


def tuned(root: Path):
    """The recipe of a fine-tuning on the mels of the folder.

    From the start, and without discriminators: neither is another with saved mels.
    """
    config = tiny("vocoder", f"folder:{root / 'audio'}", steps=12)
    fine_tune(config)
    config.components.vocoder = ""
    config.data.mels = str(root / "mels")
    config.discriminators = {}
    config.loss.update(features=0.0, adversarial=0.0)
    config.vocoder.update(resblock_kernels=(3,), dilations=((1,),))
    return config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Recordings at another rate, mels of them with errors, and a run on them.

    The errors are what a model makes: all of it is too loud, and a little is chance.
    """
    root = tmp_path_factory.mktemp("tuning")
    folder_of_audio(root / "audio")
    (root / "mels").mkdir()
    rng = np.random.default_rng(0)
    for path in (root / "audio").glob("*.wav"):
        mel = np.asarray(log_mel(SPEC, read(path, SPEC.sample_rate)))
        mel = mel + 0.5 + 0.1 * rng.normal(size=mel.shape)
        np.save(root / "mels" / f"{path.stem}.npy", mel.T.astype(np.float32))
    run.train(tuned(root), root / "tuned")
    return root


@pytest.mark.slow
def test_fine_tuning_brings_the_loss_down(root):
    rows = [row for row in read_metrics(root / "tuned") if row["split"] == "train"]
    losses = [row["loss"] for row in rows]
    assert len(losses) == 12
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert np.isfinite(read_metrics(root / "tuned")[-1]["mel_l1"])


@pytest.mark.slow
def test_what_probes_the_code_takes_the_mels_too(root):
    config = read_config(root / "tuned")
    without = config | {"data": config["data"] | {"mels": ""}}
    assert probe(config)["loss"] != probe(without)["loss"]


def test_the_record_is_of_recordings_and_mels(root):
    provenance = (root / "tuned/provenance.json").read_text(encoding="utf-8")
    (record,) = json.loads(provenance)["sessions"]
    recordings = open_source(f"folder:{root / 'audio'}", "train", SPEC.sample_rate)
    (pairs,) = pair([recordings], root / "mels", SPEC)
    assert record["data"]["source"] == f"folder:{root / 'audio'}"
    assert record["data"]["fingerprint"]["train"] == pairs.fingerprint()
    assert record["data"]["fingerprint"]["train"] != recordings.fingerprint()


def test_the_run_stands_without_its_mels(root, tmp_path):
    """Its report copies recordings by the mels computed from them."""
    shutil.copytree(root / "tuned", tmp_path / "run")
    config = (tmp_path / "run/config.json").read_text(encoding="utf-8")
    moved = config.replace(str(root / "mels"), str(tmp_path / "gone"))
    assert moved != config
    (tmp_path / "run/config.json").write_text(moved, encoding="utf-8")
    (tmp_path / "run/files.json").unlink()  # on purpose
    options = {"split": "train", "captions": 1, "examples": 1}
    evaluate(tmp_path / "run", tmp_path / "out", **options)
    results = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert results["spec"]["prompts"] == 1


def test_what_is_wrong_is_said_before_a_directory_is_taken(root, tmp_path):
    config = tuned(root)
    config.data.mels = str(root / "audio")
    with pytest.raises(UserError, match=r"holds no \.npy file"):
        run.train(config, tmp_path / "run")
    config.data.mels, config.data.source = str(root / "mels"), "tones"
    with pytest.raises(UserError, match=r"set config\.data\.source to folder:DIR"):
        run.train(config, tmp_path / "run")
    config = tiny("vae", f"folder:{root / 'audio'}")
    config.data.mels = str(root / "mels")
    with pytest.raises(
        UserError, match="the input of a vocoder, but this is a vae run"
    ):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mels_of_another_hop_are_refused_before_training(root, tmp_path):
    for path in (root / "audio").glob("*.wav"):
        info = soundfile.info(path)
        frames = round(info.duration * SPEC.sample_rate / 160)
        np.save(tmp_path / f"{path.stem}.npy", np.zeros((64, frames), np.float32))
    config = tuned(root)
    config.data.mels = str(tmp_path)
    with pytest.raises(UserError, match=r"about 160 samples, 0\.625 times .* of 256"):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_saved_mel_is_what_the_generator_hears():
    """And the recording is what it is to become, in training and in evaluations."""
    plain = {"loss": {"features": 0, "adversarial": 0}, "discriminators": {}}
    task = make_task(CONFIG | plain)
    wave = batch()["audio"]
    saved = np.random.default_rng(9).uniform(-8, 1, (4, 16, 6)).astype(np.float32)
    heard = {"audio": wave, "mel": saved}
    before = jax.jit(task.init)(KEY, heard)
    _, metrics = jax.jit(task.step)(before, heard, KEY)
    generator = build_hifigan(generator_config(CONFIG))
    fake = jax.jit(generator.apply)(before["params"]["vocoder"], saved)
    expected = gan_losses.mel_loss(full_band(TINY), wave, fake)
    np.testing.assert_allclose(metrics["mel"], expected, rtol=1e-5)

    result = task.evaluate(before, iter([heard]), KEY)
    np.testing.assert_allclose(result.audio["vocoded/3"], fake[3], atol=1e-6)
    np.testing.assert_array_equal(result.audio["real/3"], wave[3])
    error = float(gan_losses.mel_loss(TINY, wave, fake))
    assert result.metrics["mel_l1"] == pytest.approx(error, rel=1e-5)


class Pairs:
    """A source of recordings with saved mels, some of them bad."""

    def __init__(self, edit, bad=()):
        self.edit, self.bad = edit, bad

    def __len__(self):
        return 12

    def draw(self, index, samples, rng):
        if index in self.bad:
            raise AudioFileError("length", "a.npy", "too short")
        wave = rng.uniform(-1, 1, samples) * np.repeat(
            rng.uniform(0, 1, samples // 8), 8
        )
        wave = wave.astype(np.float32)
        return {"audio": wave, "mel": self.edit(np.asarray(log_mel(TINY, wave)), rng)}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda mel, rng: mel + 0.1 * rng.normal(size=mel.shape), ""),
        (lambda mel, rng: mel / np.log(10), "(nearest: 2.30 * saved"),
        (lambda mel, rng: mel + 0.3, ""),
        (lambda mel, rng: (mel + 8) / 9, "(nearest: 9.00 * saved -8.00)"),
        (lambda mel, rng: np.full_like(mel, 5.0), "of other recordings"),
    ],
)
def test_mels_of_another_scale_are_warned_of(caplog, edit, said):
    check_scale(TINY, Pairs(edit, bad=(0, 3)))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)
    caplog.clear()
    check_scale(TINY, Pairs(edit, bad=range(12)))
    assert not caplog.records
