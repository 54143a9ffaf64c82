"""What sessions of a run have on record: their time, and what decides last bits."""

import re
import subprocess
import sys
import time

import pytest

from diffusion_audio.runs import numerics
from diffusion_audio.runs.session import Session, Stopwatch, process_started
from diffusion_audio.runs.workdir import provenance
from tests.training.test_loop import run


def test_laps_add_up_to_the_time_since_the_start():
    before = time.monotonic()
    clock = Stopwatch(before - 5.0)
    for name in ("init", "step", "data", "step"):
        clock.lap(name)
    passed = time.monotonic() - before
    assert clock.seconds["init"] >= 5.0
    assert 5.0 <= sum(clock.seconds.values()) <= 5.0 + passed


def test_a_process_knows_when_it_began():
    code = (
        "import time; now = time.monotonic()\n"
        "from diffusion_audio.runs.session import process_started\n"
        "print(now - process_started())"
    )
    before = time.monotonic()
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    # The interpreter had begun, and not before it was started; by the system's ticks.
    assert -0.02 < float(done.stdout) < time.monotonic() - before
    assert process_started() < before


def test_the_time_of_a_run_is_said_and_kept(tmp_path, caplog):
    caplog.set_level("INFO")
    session = Session(tmp_path, {})
    session.end()  # an error has stopped it before it began: nothing to say
    assert not caplog.text
    session.begin(0)
    session.clock.seconds["init"] = 1.0
    session.end()
    said = re.search(r"(\S+) s: init 1\.0, checkpoint (\S+)$", caplog.text.strip())
    assert float(said[1]) == pytest.approx(1.0 + float(said[2]), abs=0.11)


def test_other_flags_than_before_are_said(tmp_path, monkeypatch, caplog):
    run(tmp_path, steps=4)
    run(tmp_path, steps=5)
    assert "last bits" not in caplog.text
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    run(tmp_path, steps=6)
    assert "from step 6 on numbers may differ in their last bits" in caplog.text
    assert "now" in caplog.text.split("XLA_FLAGS")[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"processor": "another"}, "processor "),
        ({"packages": {"jax": "0.0.1"}}, "jax '0.0.1' then"),
        ({"jax_config": {"jax_enable_x64": True}}, "jax_enable_x64 True then"),
    ],
)
def test_what_decides_last_bits(changes, said):
    now = provenance()
    assert said in numerics.changed(now | changes, now)
    assert bool(numerics.changed(now | changes, now)) == bool(said)
    assert not numerics.changed({}, now)  # of a session of an earlier version
