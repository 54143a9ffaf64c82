"""Copy synthesis of files through converted weights."""

import dataclasses
import tracemalloc

import jax
import numpy as np
import pytest
import soundfile

from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.generation.vocode import (
    cut,
    load_vocoder,
    resynthesize,
    vocode,
)
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.pretrained import folder
from tests.networks import random_params

SPEC = AudioSpec(sample_rate=8000, n_fft=32, win_length=32, hop_length=8, n_mels=5)
CFG = HiFiGANConfig(
    n_mels=5,
    channels=8,
    rates=(4, 2),
    kernels=(8, 4),
    resblock="2",
    resblock_kernels=(3,),
    dilations=((1, 2),),
    init="preserving",
    input_shift=-5.0,
)
LENGTHS = (999, 4001, 40)  # the last is shorter than a window


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    params = random_params(build_hifigan(CFG))
    generator = dataclasses.asdict(CFG)
    config = {"task": "vocoder", "audio": SPEC.to_dict(), "generator": generator}
    folder.write(path, config, {"generator": params})
    return path, params


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(n).astype(np.float32) for n in LENGTHS]


def test_windows_of_many_clips_are_each_clip_at_once(weights, clips):
    path, params = weights
    vocoder = load_vocoder(path)
    blocks = ((i, np.array_split(clip, 5)) for i, clip in enumerate(clips))
    made = {
        i: np.concatenate(list(waves))
        for i, waves in resynthesize(vocoder, blocks, seconds=0.05, batch_size=3)
    }
    assert [len(made[i]) for i in range(3)] == list(LENGTHS)
    wholes = np.stack([np.pad(clip, (0, 4800 - len(clip))) for clip in clips])
    waves = jax.jit(build_hifigan(CFG).apply)(params, log_mel(SPEC, wholes))
    for i, clip in enumerate(clips):
        wave = waves[i, : len(clip)]
        np.testing.assert_allclose(made[i], wave, atol=1e-5)
        assert np.std(wave) > 1e-3


@pytest.mark.parametrize("length", [1, 39, 40, 41, 60, 61, 100, 137])
def test_what_is_kept_of_windows_is_the_stream(length):
    stream = np.arange(1.0, length + 1)
    kept = []
    for window, part in cut(np.array_split(stream, 3), 50, 10):
        assert window.shape == (50,)
        before, after = part.start, 50 - part.stop
        assert before == (10 if kept else 0)
        assert after >= 10
        kept.append(window[part])
    np.testing.assert_array_equal(np.concatenate(kept), stream)


@pytest.mark.slow
def test_memory_is_that_of_windows_not_of_the_file(weights, tmp_path):
    path, _ = weights

    def most(seconds):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 8000, 1) as file:
            for _ in range(seconds):
                file.write(np.zeros(8000))
        tracemalloc.start()
        for _ in vocode(path, tmp_path / "long.wav", tmp_path / "out.wav"):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    most(10)  # what is compiled and cached
    short, long = most(60), most(600)
    assert soundfile.info(tmp_path / "out.wav").frames == 600 * 8000
    assert long < short + 600 * 8000  # not a quarter of one copy as float32


def test_a_file_and_a_folder(weights, clips, tmp_path, capsys):
    path, _ = weights
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    soundfile.write(source / "a.wav", clips[0], 8000)
    stereo = np.stack([clips[1]] * 2, axis=1)
    soundfile.write(source / "deep" / "b.flac", stereo, 16000)
    model = f"--model={path}"
    assert main(["vocode", str(source), str(out), model, "--seconds=0.05"]) == 0
    names = [str(out / "a.wav"), str(out / "deep" / "b.wav")]
    assert capsys.readouterr().out.splitlines() == names
    assert soundfile.info(names[0]).frames == 999
    info = soundfile.info(names[1])
    assert (info.samplerate, info.channels, info.frames) == (8000, 1, 2001)
    single = tmp_path / "one.flac"
    assert main(["vocode", str(source / "a.wav"), str(single), model]) == 0
    first, again = soundfile.read(names[0])[0], soundfile.read(single)[0]
    np.testing.assert_allclose(first, again, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["in", "out"], "--model must be given"),
        (["in", "--model=m"], "expected IN and OUT, not 1 paths"),
        (["nowhere.wav", "out", "--model=m"], "no such file"),
        (["empty", "out", "--model=m"], "empty has no audio file (.wav, .flac"),
        (["empty", "empty/out", "--model=m"], "lies in empty; give a folder elsewhere"),
        (["bad", "out", "--model=m"], "'bad/x.wav': not a WAV, FLAC, OGG or MP3 file"),
        (["good", "out", "--model=m"], "m is not a run"),
        (["twice", "out", "--model=m"], "would both become out/x.wav"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, clips, words, line):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "bad", "good", "twice"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad" / "x.wav").write_text("this is no sound at all")
    for name in ("good/x.wav", "twice/x.wav", "twice/x.flac"):
        soundfile.write(tmp_path / name, clips[0], 8000)
    assert main(["vocode", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_a_run_of_another_task_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "vae", "audio": {}}')
    with pytest.raises(UserError, match="of task 'vae'; give a vocoder's run"):
        load_vocoder(tmp_path)
