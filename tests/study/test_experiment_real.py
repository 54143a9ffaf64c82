"""A whole experiment with real training at a tiny size, killed and gone on with."""

import contextlib
import json
import os
import random
import subprocess
import sys
import time

import pytest

from tests.study import tiny_experiment

pytestmark = pytest.mark.slow


def run(action, directory, runs, *more):
    words = ["experiment", action, str(directory), f"--runs={runs}", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "diffusion_audio", *words],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )


def numbers(directory):
    """What must be the same: the values, by system and seed."""
    records = json.loads((directory / "results.json").read_text())["runs"]
    return {(r["system"], r["seed"]): (r["run"], r["values"]) for r in records}


def test_killed_anywhere_it_ends_with_the_same_results(tmp_path):
    directory = tiny_experiment.make(tmp_path)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    process = run("run", directory, calm)
    began = time.monotonic()
    process.communicate()
    took = time.monotonic() - began
    assert process.returncode == 0
    expected = numbers(directory)
    (directory / "results.json").unlink()

    rng = random.Random(0)
    for _ in range(3):
        process = run("run", directory, killed)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 0.5) * took)
        process.kill()
        process.communicate()
    finished = {path: path.stat().st_mtime for path in killed.glob("*/finished.json")}
    process = run("run", directory, killed)
    process.communicate()
    assert process.returncode == 0
    assert numbers(directory) == expected
    for path, when in finished.items():
        assert path.stat().st_mtime == when, "a finished run was made again"

    again = ("--metric=adherence", "--system=guided", "--again")
    process = run("explain", directory, killed, *again)
    assert "made again: equal" in process.communicate()[0]
