"""A trace of some steps, when a signal asks for it."""

import os
import signal

import pytest

from diffusion_audio.training.profiling import STEPS, profiled
from tests.training import toy
from tests.training.test_loop import run, same

pytestmark = pytest.mark.slow  # seconds until the profiler is there


def test_a_signal_traces_a_few_steps_and_changes_none(tmp_path):
    def ask(position):
        if position == 4:
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    with profiled(tmp_path / "traced") as profiler:
        stream = toy.Stream(hook=ask)
        state, _ = run(tmp_path / "traced", stream=stream, profiler=profiler)
    (trace,) = (tmp_path / "traced/profile").iterdir()
    assert trace.name == "5"
    assert list(trace.rglob("*.xplane.pb"))
    assert same(state, run(tmp_path / "plain")[0])
    assert not (tmp_path / "plain/profile").exists()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_trace_that_the_end_of_a_run_cuts_off_is_written(tmp_path):
    def ask(position):
        if position == 12 - STEPS + 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with profiled(tmp_path) as profiler:
        run(tmp_path, stream=toy.Stream(hook=ask), profiler=profiler)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_a_trace_that_cannot_be_written_is_one_line_and_changes_nothing(
    tmp_path, caplog
):
    workdir = tmp_path / "traced"
    workdir.mkdir()
    (workdir / "profile").write_text("in the way")
    with profiled(workdir) as profiler:
        profiler.ask()  # as it is before the loop, which answers when it comes to steps
        state, _ = run(workdir, profiler=profiler)
    (said,) = [r.message for r in caplog.records if "no trace is written" in r.message]
    assert "training goes on" in said
    assert same(state, run(tmp_path / "plain")[0])
