"""Signals, in processes of their own: who answers, what is said, the exit code."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from diffusion_audio.training import interruption
from diffusion_audio.training.interruption import Interrupted, stop_signals

RAISED = """
import sys
from diffusion_audio.cli.main import main
from diffusion_audio.cli import doctor
import functools, pathlib, time, types
def ready():
    print("ready", flush=True)
def body(argv):
    {body}
doctor.main = body
sys.argv[1:] = ["doctor"]
sys.exit(main())
"""


def start(body, tmp_path=None, prefix=()):
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", RAISED.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process):
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_what_is_open_is_closed_and_the_process_ends(tmp_path, number, code):
    body = """try: ready(); time.sleep(60)
    finally: pathlib.Path('closed').touch()"""
    process = start(body, tmp_path)
    process.send_signal(getattr(signal, number))
    assert end(process) == (code, "", f"diffusion-audio: interrupted by {number}\n")
    assert (tmp_path / "closed").exists()


def test_a_signal_in_an_import_is_not_lost(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\ntry:\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
        "time.sleep(60)\n"
    )
    process = start("ready(); sys.path.insert(0, '.'); import slow", tmp_path)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "diffusion-audio: interrupted by SIGINT\n")


def test_an_exception_that_is_lost_ends_the_process_all_the_same(tmp_path):
    body = """class A:
        def __del__(self): ready(); time.sleep(60)
    A(); time.sleep(60)"""
    process = start(body)
    process.send_signal(signal.SIGTERM)
    assert end(process) == (143, "", "diffusion-audio: interrupted by SIGTERM\n")


def test_a_thread_that_misses_what_was_closed_says_nothing(tmp_path):
    """TensorStore's, which reports to an event loop that the signal has ended."""
    body = """lost = types.SimpleNamespace(exc_value=OSError(), exc_type=OSError,
        exc_traceback=None, err_msg=None, object=None)
    try: ready(); time.sleep(60)
    finally: sys.unraisablehook(lost)"""
    process = start(body, tmp_path)
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "diffusion-audio: interrupted by SIGINT\n")


def test_a_second_signal_of_another_kind_is_final(tmp_path):
    """The first is swallowed, and twice the same at once is one, as `timeout` sends."""
    body = """once = functools.cache(ready)
    while True:
        try: once(); time.sleep(60)
        except KeyboardInterrupt: print("swallowed", flush=True)"""
    process = start(body)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "swallowed\n"
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert err.endswith("diffusion-audio: stopped at once by a second signal, SIGINT\n")


def test_under_nohup_a_lost_terminal_is_survived():
    process = start("ready(); time.sleep(0.5); print('done')", prefix=("nohup",))
    process.send_signal(signal.SIGHUP)
    code, out, _ = end(process)
    assert (code, out) == (0, "done\n")


STOP = """
import sys, time
from diffusion_audio.training.interruption import stop_signals
with stop_signals() as stop:
    stop.doing = "the compiling"
    print("ready", flush=True)
    {body}
print(stop.name if stop else "none")
"""


def start_stop(body):
    process = subprocess.Popen(
        [sys.executable, "-c", STOP.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_busy_main_thread_is_answered_for_and_a_second_signal_ends_it():
    # As a compiler does, it lets other threads run, and no handler of Python's.
    busy = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    process = start_stop(busy)
    process.send_signal(signal.SIGTERM)
    line = process.stderr.readline()
    assert line.startswith("diffusion-audio: SIGTERM: stopping once the compiling is")
    time.sleep(2 * interruption.ONE_SIGNAL)
    process.send_signal(signal.SIGTERM)
    code, _, err = end(process)
    assert code == 143
    assert "stopped at once by a second signal, SIGTERM" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_to_be_saved_the_first_signal_ends_a_busy_process(number):
    busy = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    process = start_stop(f"stop.at_once = True; {busy}")
    time.sleep(1.0)  # it says that it is ready just before
    process.send_signal(number)
    code, out, err = end(process)
    name = signal.Signals(number).name
    assert (code, out) == (128 + number, "")
    assert f"stopped by {name} in the compiling: nothing is lost" in err


def test_the_loop_is_asked_once_and_told_of_the_first():
    with stop_signals() as stop:
        assert not stop
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.name == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_thread_that_cannot_take_signals_works_without():
    seen = []

    def work():
        with stop_signals() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_who_catches_errors_does_not_catch_a_signal():
    assert not issubclass(Interrupted, Exception)
    assert issubclass(Interrupted, KeyboardInterrupt)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.2, 0.5, 1, 2, 3, 4])
def test_a_start_can_be_stopped_at_any_time(tmp_path, number, delay):
    words = ["train", "--config=configs/vae.py:smoke", f"--workdir={tmp_path}/run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "diffusion_audio", *words, "--config.train.steps=9999"],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("diffusion-audio: ")
