"""One process in a directory, and what the next one is told."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs.lock import alone, locked

HOLDER = """
import pathlib, sys, time
from diffusion_audio.runs.lock import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_it_and_a_kill_lets_it_go(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        for _ in range(2):  # to ask does not change who it is
            with (
                pytest.raises(UserError, match=rf"in use by process {process.pid} on"),
                alone(tmp_path / "run"),
            ):
                pass
        process.kill()
        process.wait()
        with alone(tmp_path / "run"):
            assert str(os.getpid()) in (tmp_path / "run/.lock").read_text()


def test_it_is_let_go_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), alone(tmp_path):
            raise ZeroDivisionError


def test_a_damaged_lock_file_is_a_lock_all_the_same(tmp_path):
    path = tmp_path / ".lock"
    with locked(path, "it", wait=False):
        path.write_bytes(b"\xff")
        with (
            pytest.raises(UserError, match="in use by another process"),
            locked(path, "it", wait=False),
        ):
            pass


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with alone(tmp_path):
        assert "cannot be locked (No locks available)" in caplog.text
