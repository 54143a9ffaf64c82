"""Copy synthesis of files and folders: what is made, passed over and refused."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import decoders
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.generation import vocode_files
from diffusion_audio.generation.vocode import load_voice
from diffusion_audio.generation.vocode_files import vocode
from tests.audio.test_decoders import FAULTY
from tests.generation.test_vocode import LENGTHS, SPEC, clips, weights

__all__ = ["clips", "weights"]  # fixtures

NOT_AUDIO = b"this is no sound at all"


@pytest.fixture
def folder(tmp_path, clips, monkeypatch):
    """Three recordings in a folder of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, clip in zip(("a.wav", "b.wav", "deep/c.flac"), clips, strict=True):
        soundfile.write(tmp_path / "in" / name, clip, 8000)
    return tmp_path / "in"


@pytest.fixture(scope="module")
def vocoder(weights):
    """Loaded once: what it compiles serves all tests, as their windows are alike."""
    return load_voice(weights[0])


@pytest.fixture
def run(vocoder, weights, capsysbinary, monkeypatch):
    """Runs the verb; gives its exit code, and what it printed and said by line."""
    monkeypatch.setattr(vocode_files, "load_voice", lambda model: vocoder)

    def call(*words):
        options = (f"--model={weights[0]}", "--seconds=0.05")
        code = main(["vocode", *map(str, words), *options])
        out, err = map(os.fsdecode, capsysbinary.readouterr())
        said = [line.removeprefix("diffusion-audio: ") for line in err.splitlines()]
        return code, out.splitlines(), said

    return call


@pytest.mark.slow
def test_memory_is_that_of_windows_not_of_the_file(weights, tmp_path):
    path, _ = weights

    def most(seconds):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 8000, 1) as file:
            for _ in range(seconds):
                file.write(np.zeros(8000))
        tracemalloc.start()
        list(vocode(path, tmp_path / "long.wav", tmp_path / "out.wav"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    most(10)  # what is compiled and cached
    short, long = most(60), most(600)
    assert soundfile.info(tmp_path / "out.wav").frames == 600 * 8000
    assert long < short + 600 * 8000  # not a quarter of one copy as float32


def test_a_file_and_a_folder(folder, clips, run):
    stereo = np.stack([clips[1]] * 2, axis=1)
    soundfile.write("in/deep/c.flac", stereo, 16000)
    made = ["out/a.wav", "out/b.wav", "out/deep/c.wav"]
    for _ in range(2):  # what was made is made again
        assert run("in", "out") == (0, made, [])
    assert [soundfile.info(made[i]).frames for i in (0, 1)] == list(LENGTHS[:2])
    info = soundfile.info(made[2])
    assert (info.samplerate, info.channels, info.frames) == (8000, 1, 2001)
    assert run("in/a.wav", "one.flac") == (0, ["one.flac"], [])
    first, again = soundfile.read(made[0])[0], soundfile.read("one.flac")[0]
    np.testing.assert_allclose(first, again, atol=1e-4)


@pytest.mark.parametrize(("step", "said"), [(None, ""), (1200, "@1200")])
def test_what_made_a_file_is_on_record(
    folder, run, vocoder, weights, monkeypatch, step, said
):
    voice = vocoder._replace(step=step)
    monkeypatch.setattr(vocode_files, "load_voice", lambda model: voice)
    assert run("in/a.wav", "one.wav")[0] == 0
    (line,) = Path(".outputs.jsonl").read_text().splitlines()
    assert json.loads(line)["model"] == f"{weights[0]}{said}"


def test_a_recording_is_never_replaced_by_its_copy(folder, run):
    before = {p: p.read_bytes() for p in folder.rglob("*.*")}
    os.link("in/a.wav", "hard.wav")
    os.symlink("in", "linked")
    for words in (("in/a.wav", "in"), ("in/a.wav", "hard.wav"), ("linked", "in")):
        code, out, [said] = run(*words, "--overwrite")
        assert (code, out) == (2, [])
        assert "is read by this command" in said or "lies in" in said
    code, out, [said] = run("in/b.wav", "in/a.wav")
    assert (code, out) == (2, [])
    assert said.startswith("in/a.wav is there and was not made by this program")
    assert before == {p: p.read_bytes() for p in folder.rglob("*.*")}
    assert run("in/b.wav", "in/a.wav", "--overwrite")[0] == 0


def test_one_bad_file_of_many_is_named_and_passed_over(folder, clips, run):
    soundfile.write("in/cut.flac", np.tile(clips[1], 100), 8000)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])  # found half way
    (folder / "no.wav").write_bytes(NOT_AUDIO)
    (folder / "no.npy").write_bytes(NOT_AUDIO)
    (folder / "._a.wav").write_bytes(NOT_AUDIO)  # of macOS, and no finding
    (folder / "folder.wav").mkdir()
    os.mkfifo("in/pipe.wav")
    os.symlink("nowhere", "in/dangling.wav")
    os.symlink("..", "in/deep/loop")
    code, out, said = run("in", "out")
    assert (code, out) == (1, ["out/a.wav", "out/b.wav", "out/deep/c.wav"])
    for name in ("cut.flac", "no.wav", "no.npy", "pipe.wav", "dangling.wav"):
        assert sum(f"passed over 'in/{name}': " in line for line in said) == 1
    assert said[-1] == "3 files are made, 5 passed over"
    assert len([line for line in said if "._" not in line]) == 6
    made = {str(p) for p in os.scandir("out") if not p.name.startswith(".")}
    assert len(made) == 3
    for name in ("cut.flac", "no.wav", "pipe.wav", "dangling.wav"):
        code, out, said = run(f"in/{name}", "one.wav")
        assert (code, out, len(said)) == (2, [], 1)
    assert not os.path.exists("one.wav")


def test_what_looks_like_audio_and_is_not_used_is_named(folder, run, caplog):
    (folder / "talk.m4a").write_bytes(b"")
    (folder / "b.wav").rename(folder / "b")
    (folder / ".trash").mkdir()
    (folder / "deep" / "c.flac").rename(folder / ".trash" / "c.flac")
    code, out, _ = run("in", "out")
    assert (code, out) == (0, ["out/a.wav"])
    [line] = [text for text in caplog.messages if text.startswith("not used of in: ")]
    assert "'talk.m4a': of a format that cannot be decoded here" in line
    assert "'b': audio by its first bytes" in line
    assert "'.trash': hidden" in line


def test_names_that_differ_in_case_only(folder, run):
    (folder / "A.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "a.flac").write_bytes((folder / "deep" / "c.flac").read_bytes())
    code, out, said = run("in", "out")
    assert (code, len(out), len(said)) == (1, 4, 2)
    assert said[0].startswith("passed over in/a.wav: it and in/A.wav would both become")


def test_names_of_bytes_and_names_too_long(folder, clips, run):
    bad = os.fsdecode(b"in/fl\xfbte.wav")
    (folder / "a.wav").rename(bad)
    (folder / "b.wav").rename(folder / ("x" * 251 + ".wav"))
    code, out, said = run("in", "out")
    assert "out/deep/c.wav" in out
    assert bad.replace("in/", "out/") in out
    assert code == int(len(out) < 3)  # a file system may have no longer name
    assert len(said) == (4 - len(out) if code else 0)


def test_a_decoder_that_fails_costs_one_file(folder, clips, run, monkeypatch):
    for name in ("crash", "hang", "late"):  # the last once it has given some
        soundfile.write(folder / f"{name}.wav", clips[0], 8000)
    monkeypatch.setattr(decoders, "WORKER", FAULTY)
    code, out, said = run("in", "out")
    assert (code, out) == (1, ["out/a.wav", "out/b.wav", "out/deep/c.wav"])
    assert said == [
        "passed over 'in/crash.wav': its decoder crashed (SIGSEGV)",
        "passed over 'in/hang.wav': decoding took more than 60 s",
        "passed over 'in/late.wav': its decoder crashed (SIGSEGV)",
        "3 files are made, 3 passed over",
    ]


def test_a_full_disk_ends_it_all(folder, run, monkeypatch):
    def write(path, waves, rate, whole=vocode_files.files.write_blocks):
        if path.name == "b.wav":
            raise UserError("cannot write 'b.wav'") from OSError(28, "No space left")
        whole(path, waves, rate)

    monkeypatch.setattr(vocode_files.files, "write_blocks", write)
    code, out, said = run("in", "out")
    assert (code, out) == (1, ["out/a.wav"])
    assert said[0] == "1 files are made, 0 passed over"
    assert said[1].startswith("the disk is full")


def test_files_of_one_stem_keep_their_suffix(folder, clips, run):
    soundfile.write("in/a.flac", clips[2], 8000)
    code, out, _ = run("in", "out")
    names = ["a.flac.wav", "a.wav.wav", "b.wav", "deep/c.wav"]
    assert (code, out) == (0, [f"out/{name}" for name in names])
    assert [soundfile.info(f"out/{n}").frames for n in names[:2]] == [40, 999]


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2"])
@pytest.mark.parametrize("axes", ["tf", "ft", "1ft"])
def test_a_saved_mel_becomes_what_its_recording_does(folder, clips, run, axes, kind):
    mel = np.asarray(log_mel(SPEC, np.pad(clips[1], (0, 7))))  # [501, 5]
    stored = {"tf": mel, "ft": mel.T, "1ft": mel.T[None]}[axes]
    np.save("in/mel.npy", stored.astype(kind))
    code, out, said = run("in", "out")
    assert (code, said) == (0, [])
    assert out == ["out/a.wav", "out/b.wav", "out/deep/c.wav", "out/mel.wav"]
    wave, info = soundfile.read("out/mel.wav")[0], soundfile.info("out/mel.wav")
    assert (info.samplerate, info.frames) == (8000, 501 * 8)
    middle = slice(100, -100)  # at the ends, silence and reflection differ
    recording = soundfile.read("out/b.wav")[0]
    tolerance = 1e-4 if kind != "<f2" else 1e-2
    np.testing.assert_allclose(
        wave[: len(recording)][middle], recording[middle], atol=tolerance
    )


def test_a_square_mel_needs_its_order(folder, run):
    np.save("square.npy", np.random.default_rng(0).normal(-5, 3, (5, 5)))
    code, _, [said] = run("square.npy", "out.wav")
    assert code == 2
    assert "mel_axes to 'ft'" in said
    made = []
    for axes in ("ft", "tf"):
        assert run("square.npy", f"{axes}.wav", f"--mel_axes={axes}")[0] == 0
        made.append(soundfile.read(f"{axes}.wav")[0])
    assert len(made[0]) == len(made[1]) == 40
    assert not np.array_equal(*made)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda mel: mel[:, :4], "has no axis of 5 mel bands"),
        (lambda mel: np.exp(mel), "magnitudes before the logarithm?"),
        (lambda mel: 8.686 * mel, "decibels, or of another logarithm?"),
        (lambda mel: mel + 8, "decibels, or of another logarithm?"),
        (lambda mel: np.where(mel > -1, np.nan, mel), "holds NaN or infinity"),
        (lambda mel: mel.astype(int), "a log-mel is of floats"),
        (lambda mel: np.stack([mel, mel]), "but a mel is [F, T], [T, F]"),
    ],
)
def test_what_is_no_log_mel_of_the_vocoder(folder, run, change, line):
    mel = np.linspace(-11, 1, 100).reshape(20, 5)
    np.save("mel.npy", change(mel))
    code, out, [said] = run("mel.npy", "out.wav")
    assert (code, out) == (2, [])
    assert line in said


def test_a_normalised_mel_is_doubted(folder, run, caplog):
    np.save("mel.npy", np.linspace(-5, -3, 100).reshape(20, 5))
    assert run("mel.npy", "out.wav")[:2] == (0, ["out.wav"])
    assert "nowhere near silence" in caplog.text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["in"], "expected IN and OUT, not 1 paths"),
        (["nowhere.wav", "out"], "'nowhere.wav': no such file"),
        (["empty", "out"], "empty has no audio file (.wav, "),
        (["in", "in/out"], "in/out lies in in; give a folder elsewhere"),
        (["in", "out.wav"], "in is a folder, so OUT must be one too, not out.wav"),
        (["in/a.wav", "out.mp3"], "out.mp3: can write .wav and .flac files, not .mp3"),
        (["in/a.wav", "in/b.wav/x"], "in/b.wav is not a folder"),
        (["in/a.wav", "run"], "run holds a run or converted weights"),
        (["in/a.wav", "x", "--mel_axes=xy"], "flag --mel_axes=xy"),
    ],
)
def test_mistakes_are_one_line(folder, run, words, line):
    for name in ("empty", "run/checkpoints"):
        os.makedirs(name)
    code, out, [said] = run(*words)
    assert (code, out) == (2, [])
    assert line in said


def test_a_model_is_needed(folder, capsys):
    for words, line in (
        ([], "--model must be given"),
        (["--model=nowhere"], "nowhere is not a run"),
    ):
        assert main(["vocode", "in", "out", *words]) == 2
        assert line in capsys.readouterr().err


def test_a_folder_of_nothing_good(folder, run):
    os.mkdir("bad")
    for name in "ab":
        (folder.parent / "bad" / f"{name}.wav").write_bytes(NOT_AUDIO)
    code, out, said = run("bad", "out")
    assert (code, out, len(said)) == (2, [], 4)
    assert said[-1] == "bad: none of its files can be used"
