"""Several processes are one run: the same numbers, one stop, one end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import sessions
from diffusion_audio.training import agreement
from tests.recipes import folder_of_audio, label, recipe

PROGRAM = """
import errno, os, sys, time
from diffusion_audio.cli import main as program
program._log_to_stderr()  # before what logs at once
from diffusion_audio.training import loop, parallel
at, *numbers = map(int, sys.argv[1].split(","))
place, calls = loop.place_batch, 0
def counted(batch, mesh):
    global calls
    calls += 1
    if calls == at:
        for number in numbers:
            if not number:
                raise OSError(errno.ENOSPC, "No space left on device", "log")
            os.kill(os.getpid(), number)
            time.sleep(0.3)
    return place(batch, mesh)
loop.place_batch, parallel.SMALLEST_SPLIT = counted, 64
sys.argv[1:] = sys.argv[2:]
sys.exit(program.main())
"""
CONFIG = """
from tests.recipes import tiny
def get_config():
    config = tiny("vae", {source!r}, steps=20)
    config.parallel.data = -1
    config.train.update(evaluate_every=8, checkpoint_every=3)
    return config
"""
QUICK = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    place = tmp_path_factory.mktemp("set")
    path = place / "config.py"
    path.write_text(CONFIG.format(source=folder_of_audio(place / "audio")))
    return path


def free_port(least: int = 0) -> int:
    """One to listen at, from ``least`` on."""
    for port in range(least, least + 4096) if least else (0,):
        with socket.socket() as server, contextlib.suppress(OSError):
            server.bind(("localhost", port))
            return server.getsockname()[1]
    raise OSError("all ports are in use")


def by_flags(process: int, port: int) -> tuple[list[str], dict[str, str]]:
    """Flags and variables that say which of two processes one is."""
    address = [f"--coordinator=localhost:{port}", "--num_processes=2"]
    return [*address, f"--process_id={process}"], {}


def by_torchrun(process: int, port: int) -> tuple[list[str], dict[str, str]]:
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    return [], place | {"WORLD_SIZE": "2", "RANK": str(process)}


def by_slurm(process: int, port: int) -> tuple[list[str], dict[str, str]]:
    # From the number of the job jax makes a port: the last 4096 are for this.
    job = {"SLURM_JOB_ID": str(port), "SLURM_STEP_NODELIST": "localhost"}
    step = {"SLURM_NTASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2"}
    task = {"SLURM_PROCID": str(process), "SLURM_LOCALID": str(process)}
    return [], job | step | task


def launch(
    config: Path, workdir: Path, processes: int, *flags, signals=None, by=by_flags
):
    """Exit code, stdout and stderr of each process; two devices in all.

    ``signals`` says for a process a call of `place_batch` and the signals it gets then;
    0 is a disk that is full.
    """
    port = free_port(61440 if by is by_slurm else 0)
    devices = f"--xla_force_host_platform_device_count={2 // processes}"
    running = []
    for i in range(processes):
        words = [
            *(sys.executable, "-c", PROGRAM, (signals or {}).get(i, "0"), "train"),
            *(f"--config={config}", f"--workdir={workdir}", *flags),
        ]
        more, place = by(i, port) if processes > 1 else ([], {})
        running.append(
            subprocess.Popen(
                words + more,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | place | {"XLA_FLAGS": f"{QUICK} {devices}"},
            )
        )
    ended = []
    for process in running:
        out, err = process.communicate(timeout=200)
        assert "Traceback" not in err, err
        ended.append((process.returncode, out, err))
    return ended


def last(workdir: Path) -> tuple[int, dict]:
    """The newest step and its state."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def everything(saved):
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            {key: saved[key] for key in ("step", "params", "opt", "ema")},
        )

    try:
        return checkpoints.read(everything)
    finally:
        checkpoints.close()


def require_same(workdir: Path, other: Path) -> None:
    """The same state and metrics, to the last step."""
    (step, state), (_, expected) = last(workdir), last(other)
    assert step == 20
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
        state,
        expected,
    )
    for row, wanted in zip(read_metrics(workdir), read_metrics(other), strict=True):
        assert row.pop("split") == wanted.pop("split")
        assert row == pytest.approx(wanted, rel=1e-5)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run of one process with two devices."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    ((code, out, err),) = launch(config, workdir, 1)
    assert (code, out) == (0, f"{workdir}\n"), err
    return workdir


@pytest.mark.slow
def test_two_processes_are_one_with_two_devices(config, whole, tmp_path):
    first, second = launch(config, tmp_path / "run", 2)
    assert first[:2] == (0, f"{tmp_path / 'run'}\n"), first[2]
    assert second[:2] == (0, "")
    assert "ETA" in first[2]
    assert "ETA" not in second[2]
    require_same(tmp_path / "run", whole)
    (session,) = sessions(tmp_path / "run")
    assert len(session["devices"]) == 2


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_one_alone_goes_on(config, whole, tmp_path):
    ended = launch(config, tmp_path / "run", 2, signals={1: f"7,{signal.SIGTERM:d}"})
    assert [code for code, _, _ in ended] == [143, 143], ended
    step, _ = last(tmp_path / "run")
    assert 5 < step < 20
    for _, _, err in ended:
        assert f"stopped by SIGTERM at step {step} of 20; step {step} is saved" in err
    ((code, _, err),) = launch(config, tmp_path / "run", 1)
    assert code == 0, err
    require_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_one_alone_stops_and_two_go_on(config, whole, tmp_path):
    signals = {0: f"7,{signal.SIGINT:d}"}
    ((code, _, err),) = launch(config, tmp_path / "run", 1, signals=signals)
    assert code == 130, err
    ended = launch(config, tmp_path / "run", 2, by=by_slurm)
    assert [code for code, _, _ in ended] == [0, 0], ended
    require_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_one_ends_the_other_and_both_go_on(config, whole, tmp_path, killed):
    split = ("--config.parallel.data=1", "--config.parallel.fsdp=2")
    signals = {killed: f"9,{signal.SIGKILL:d}"}
    began = time.monotonic()
    ended = launch(config, tmp_path / "run", 2, *split, signals=signals)
    assert time.monotonic() - began < 60
    assert ended[killed][0] == -signal.SIGKILL
    code, _, err = ended[1 - killed]
    assert code == agreement.FAILED, err
    assert f"diffusion-audio: process {killed} " in err
    assert last(tmp_path / "run")[0] in (3, 6)  # the last of which is being saved
    if not killed:  # to go on is the same, and takes its time
        return
    ended = launch(config, tmp_path / "run", 2, *split)
    assert [code for code, _, _ in ended] == [0, 0], ended
    require_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_second_signal_ends_both_at_once(config, tmp_path):
    twice = f"9,{signal.SIGTERM:d},{signal.SIGTERM:d}"
    ended = launch(config, tmp_path / "run", 2, signals={1: twice}, by=by_torchrun)
    assert [code for code, _, _ in ended] == [143, 143], ended
    assert "stopped at once by a second signal, SIGTERM" in ended[1][2]
    assert "process 1 has ended: stopped at once by a second signal" in ended[0][2]


@pytest.mark.slow
def test_a_mistake_ends_both(config, tmp_path):
    ended = launch(config, tmp_path / "run", 2, "--config.train.steps=0")
    assert [code for code, _, _ in ended] == [2, 2], ended
    assert "train.steps must be 1 or more" in ended[0][2]
    assert not (tmp_path / "run").exists()


CLASSIFIER = """
from tests.recipes import tiny
def get_config():
    config = tiny("classifier", {source!r}, steps=2)
    config.parallel.data = -1
    config.train.evaluate_every = 2
    config.data.labels, config.classifier.classes = ("pitch",), (2,)
    return config
"""


@pytest.mark.slow
def test_a_classifier_is_the_same_too(tmp_path):
    source = folder_of_audio(tmp_path / "audio")
    label(tmp_path / "audio", recipe("classifier"))
    config = tmp_path / "config.py"
    config.write_text(CLASSIFIER.format(source=source))
    for count in (1, 2):
        ended = launch(config, tmp_path / str(count), count)
        assert {code for code, _, _ in ended} == {0}, ended
    one, two = (read_metrics(tmp_path / str(count)) for count in (1, 2))
    assert "accuracy/pitch" in one[-1]
    for row, wanted in zip(two, one, strict=True):
        assert row.pop("split") == wanted.pop("split")
        assert row == pytest.approx(wanted, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("failed", [0, 1])
def test_an_error_of_one_ends_the_other(config, tmp_path, failed):
    began = time.monotonic()
    ended = launch(config, tmp_path / "run", 2, signals={failed: "9,0"})
    assert time.monotonic() - began < 60
    assert [code for code, _, _ in ended] == [agreement.FAILED] * 2, ended
    assert "the disk is full: [Errno 28]" in ended[failed][2]
    said = (
        f"process {failed} has ended: [Errno 28] No space left on device: 'log'; what"
    )
    assert said in ended[1 - failed][2]
    assert last(tmp_path / "run")[0] in (3, 6)


@pytest.mark.slow
def test_bad_clips_are_counted_and_saved_for_all(tmp_path):
    source = folder_of_audio(tmp_path / "audio")
    for i in range(2):
        (tmp_path / f"audio/clip{i}.wav").write_bytes(b"RIFF, and no more")
    (tmp_path / "config.py").write_text(CONFIG.format(source=source))
    flags = ("--config.train.steps=3", "--config.data.skip_budget=0.7")
    ended = launch(tmp_path / "config.py", tmp_path / "run", 2, *flags)
    assert [code for code, _, _ in ended] == [0, 0], ended
    data = tmp_path / "run/checkpoints/steps/3/data/metadata"
    assert len(json.loads(data.read_text())["batches"]["skipped"]) == 2
    # What is read ahead may meet it first, so the steps must come to that.
    ended = launch(tmp_path / "config.py", tmp_path / "other", 2)
    assert [code for code, _, _ in ended] == [2, 2], ended
    assert all("more than the 1 allowed" in err for _, _, err in ended), ended
