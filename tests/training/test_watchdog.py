"""What hangs, in processes of their own: it ends, says where, and goes on."""

import subprocess
import sys

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs.session import sessions
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.watchdog import FILE

ALONE = """
import pathlib, sys, time
from diffusion_audio.training import watchdog
watchdog.GRACE = 0.5

def what_hangs():
    {body}

with watchdog.watchdog(1.0, pathlib.Path(sys.argv[1])) as alive:
    alive("step 7")
    what_hangs()
"""
RUN = """
import pathlib, sys, time
from tests.training import toy
from tests.training.test_loop import run

def what_hangs(position):
    if position == 5:
        time.sleep(1)  # step 4 is being saved
    if position == 6:
        {body}

stream = toy.Stream(hook=what_hangs)
run(pathlib.Path(sys.argv[1]), stream=stream, log_every=100, watchdog=5)
"""


def start(program, workdir, body):
    words = [sys.executable, "-c", program.format(body=body), str(workdir)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_what_hangs_ends_with_its_stack(tmp_path):
    done = start(ALONE, tmp_path, "time.sleep(600)")
    assert done.returncode == 1
    assert "diffusion-audio: step 7 does not get on for 1 s" in done.stderr
    assert "in step 7, for more than 1 s" in (tmp_path / FILE).read_text()
    for text in (done.stderr, (tmp_path / FILE).read_text()):
        assert "in what_hangs" in text


def test_what_keeps_pythons_lock_ends_too(tmp_path):
    done = start(ALONE, tmp_path, "time.sleep(0.5); sum(range(10**12))")
    assert done.returncode == 1
    assert "in <module>" in done.stderr  # the stacks, by the timer


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(3): time.sleep(0.5); alive('step 8')",
        "alive('the compiling', patient=True); time.sleep(1.5)",
    ],
)
def test_what_gets_on_or_may_take_long_is_left_alone(tmp_path, body):
    done = start(ALONE, tmp_path, body)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / FILE).exists()


def test_what_was_suspended_is_left_alone(tmp_path):
    """As by Ctrl-Z or a job system; it is another process that stops and starts it."""
    body = (
        "import os; os.system(f'(sleep 0.3; kill -STOP {os.getpid()}; sleep 3; "
        "kill -CONT {os.getpid()}) &'); time.sleep(0.8)"
    )
    program = ALONE.replace("watchdog.GRACE = 0.5", "watchdog.GRACE = 60")
    done = start(program, tmp_path, body)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_run_whose_loader_hangs_ends_and_goes_on(tmp_path):
    done = start(RUN, tmp_path, "time.sleep(600)")
    assert done.returncode == 1
    assert "step 7 does not get on for 5 s" in done.stderr
    assert "in what_hangs" in (tmp_path / FILE).read_text()
    done = start(RUN, tmp_path, "pass")
    assert done.returncode == 0, done.stderr
    first, second = sessions(tmp_path)
    assert (first["last_step"], second["first_step"]) == (4, 5)


def test_a_time_that_cannot_be():
    with pytest.raises(UserError, match=r"config\.train\.watchdog must be 0 or more"):
        TrainConfig(watchdog=-1.0)
