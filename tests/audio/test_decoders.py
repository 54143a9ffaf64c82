"""Decoding elsewhere: the same samples, and a decoder's death costs one file."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import decoders, files
from diffusion_audio.audio.decoders import Decoders, decoding, here
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.hearing import hear_file
from diffusion_audio.errors import UserError
from tests.audio.faulty_worker import FAULTS
from tests.test_layers import ROOT

RATE = 16_000
FAULTY = ("-P", "-m", "tests.audio.faulty_worker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for name, rate, channels in (("a.wav", RATE, 1), ("b.flac", 44_100, 2)):
        wave = rng.uniform(-0.5, 0.5, (rate, channels))
        soundfile.write(root / name, wave, rate)
    soundfile.write(root / "ü \n.ogg", rng.uniform(-0.5, 0.5, 8000), RATE)
    os.rename(root / "ü \n.ogg", os.fsencode(root) + b"/\xff.ogg")
    (root / "page.wav").write_text("<html>")
    for name in FAULTS:
        (root / f"{name}.wav").write_bytes((root / "a.wav").read_bytes())
    return root


@pytest.fixture(scope="module")
def elsewhere():
    with decoding(2) as decode:
        yield decode


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr(decoders, "WORKER", FAULTY)
    with decoding(1) as decode:
        yield decode


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "\udcff.ogg"])
def test_what_is_decoded_elsewhere_is_the_same_to_the_bit(folder, elsewhere, name):
    path = folder / name
    for task, args, options in (
        (files.read, (RATE,), {}),
        (files.read, (22_050,), {"offset": 0.123, "max_seconds": 0.1}),
        (files.excerpt, (RATE, 1000, 1 / 3), {}),
    ):
        ours = here(task, path, *args, **options)
        theirs = elsewhere(task, path, *args, **options)
        assert theirs.dtype == ours.dtype == np.float32
        assert theirs.tobytes() == ours.tobytes()
        theirs[0] = 1  # it may be written to, as ours
    for task in (files.probe, hear_file):
        assert elsewhere(task, path) == here(task, path)
    ours, theirs = here(files.decode, path), elsewhere(files.decode, path)
    assert theirs.wave.shape == ours.wave.shape
    assert theirs.wave.tobytes() == ours.wave.tobytes()
    assert theirs.sample_rate == ours.sample_rate


def test_a_bad_file_is_the_same_error(folder, elsewhere):
    said = []
    for decode in (here, elsewhere):
        with pytest.raises(AudioFileError) as caught:
            decode(files.read, folder / "page.wav", RATE)
        said.append((caught.value.kind, str(caught.value)))
    assert said[0] == said[1]
    with pytest.raises(AudioFileError) as caught:
        elsewhere(files.probe, folder / "no.wav")
    assert caught.value.kind == "missing"


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("crash", "crashed", r"its decoder crashed \(SIGSEGV\)"),
        ("hang", "too-slow", "decoding took more than 60 s"),
        ("bomb", "too-large", "decoding takes more than the 2048 MB that it may"),
    ],
)
def test_a_fault_costs_one_file(folder, faulty, name, kind, problem):
    ours = here(files.read, folder / "a.wav", RATE)
    started = set()
    for _ in range(2):
        with pytest.raises(AudioFileError, match=f"{name}.wav': {problem}") as caught:
            faulty(files.read, folder / f"{name}.wav", RATE)
        assert caught.value.kind == kind
        assert np.array_equal(faulty(files.read, folder / "a.wav", RATE), ours)
        started |= {worker._process.pid for worker in faulty._all}
    assert len(started) == 1  # what was fatal once is not tried again


@pytest.fixture
def long_file(folder, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 4 * files.BLOCK)  # here; there it is as it was
    levels = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * files.BLOCK // 4096)
    wave = np.repeat(levels, 4096)  # small as a file, so that its time is too
    soundfile.write(folder / "long.flac", wave, RATE)
    return folder / "long.flac"


def test_blocks_come_as_they_are_needed(long_file, folder, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 0.4)
    with decoding(1) as decode:
        blocks = decode(files.blocks, long_file, RATE)
        first = next(blocks)
        time.sleep(0.6)  # is not the worker's time
        rest = [*blocks]
        assert len(rest) > 2
        (worker,) = decode._all
        ours = np.concatenate([*here(files.blocks, long_file, RATE)])
        assert np.concatenate([first, *rest]).tobytes() == ours.tobytes()
        next(decode(files.blocks, long_file, RATE))  # and no more of it
        assert np.array_equal(
            decode(files.read, folder / "a.wav", RATE),
            here(files.read, folder / "a.wav", RATE),
        )
        assert worker not in decode._all


def test_blocks_end_where_their_decoder_fails(folder, faulty):
    (folder / "late.wav").write_bytes((folder / "a.wav").read_bytes())
    for _ in range(2):
        blocks = faulty(files.blocks, folder / "late.wav", RATE)
        with pytest.raises(AudioFileError, match=r"late.*crashed \(SIGSEGV\)"):
            list(blocks)
    with pytest.raises(AudioFileError, match="web page"):
        list(faulty(files.blocks, folder / "page.wav", RATE))
    assert faulty(files.probe, folder / "a.wav").sample_rate == RATE
    assert len(faulty._all) == 1


def test_a_worker_that_was_killed_is_asked_again(folder, elsewhere):
    ours = here(files.read, folder / "a.wav", RATE)
    elsewhere(files.read, folder / "a.wav", RATE)
    for worker in elsewhere._all:
        os.kill(worker._process.pid, signal.SIGKILL)
    assert np.array_equal(elsewhere(files.read, folder / "a.wav", RATE), ours)


def test_blocks_go_on_where_a_worker_was_killed(long_file):
    with decoding(1) as decode:
        blocks = decode(files.blocks, long_file, RATE)
        got = [next(blocks), next(blocks)]
        (worker,) = decode._all
        os.kill(worker._process.pid, signal.SIGKILL)
        got += blocks
    ours = np.concatenate([*here(files.blocks, long_file, RATE)])
    assert np.concatenate(got).tobytes() == ours.tobytes()


def test_a_file_has_so_many_seconds(folder, faulty, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    with pytest.raises(AudioFileError, match=r"took more than 0\.232 s") as caught:
        faulty(files.probe, folder / "stall.wav")
    assert caught.value.kind == "too-slow"


def test_a_mistake_of_the_program_is_no_bad_file(folder, faulty):
    with pytest.raises(RuntimeError, match="no such column"):
        faulty(files.probe, folder / "mistake.wav")


def test_many_threads_share_the_workers(folder, elsewhere):
    ours = [here(files.excerpt, folder / "b.flac", RATE, 99, i / 40) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        theirs = pool.map(
            lambda i: elsewhere(files.excerpt, folder / "b.flac", RATE, 99, i / 40),
            range(40),
        )
        assert all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert len(elsewhere._all) == 2


def test_a_worker_that_cannot_start_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(decoders, "WORKER", ("-c", "import sys; sys.exit(3)"))
    with (
        decoding(1) as decode,
        pytest.raises(UserError, match="ended with exit code 3"),
    ):
        decode(files.probe, folder / "a.wav")


def test_closing_ends_calls_under_way_and_those_that_wait(folder, monkeypatch):
    monkeypatch.setattr(decoders, "WORKER", FAULTY)
    pool = Decoders(1)
    said = []

    def call():
        try:
            pool(files.probe, folder / "stall.wav")
        except UserError as error:
            said.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not pool._all:
        time.sleep(0.01)
    pool.close()
    for thread in threads:
        thread.join(20)
    assert said == ["decoding was stopped"] * 2
    with pytest.raises(UserError, match="was stopped"):
        pool(files.probe, folder / "a.wav")


def test_a_worker_that_answers_while_it_is_killed_is_waited_for(folder, monkeypatch):
    pool = Decoders(1)
    usual = decoders._Worker._answer

    def last(worker, *words):
        answer = usual(worker, *words)
        pool.close()
        return answer

    monkeypatch.setattr(decoders._Worker, "_answer", last)
    assert pool(files.probe, folder / "a.wav").sample_rate == RATE
    assert not pool._all
    with pytest.raises(UserError, match="was stopped"):
        pool(files.probe, folder / "a.wav")


IMPORTS = """
import sys, diffusion_audio.audio.decode_worker
print({"jax", "absl", "grain", "orbax", "scipy"} & set(sys.modules))
"""


def test_a_worker_imports_what_decoding_needs():
    words = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n", done.stderr


KILLED = """
import sys
from diffusion_audio.audio import files
from diffusion_audio.audio.decoders import Decoders
decode = Decoders(1)
decode(files.probe, sys.argv[1])
print(*(worker._process.pid for worker in decode._all), flush=True)
sys.stdin.read()
"""


def test_no_worker_outlives_who_asked(folder):
    words = [sys.executable, "-c", KILLED, str(folder / "a.wav")]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        os.kill(worker, signal.SIGTERM)  # as a terminal or a scheduler sends to all
        os.kill(worker, 0)
        process.kill()
        process.wait()
        for _ in range(1000):
            if not Path(f"/proc/{worker}").exists():
                return
            time.sleep(0.01)
    pytest.fail("it is still there")
