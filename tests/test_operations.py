"""The Slurm script with stand-ins for Slurm, and what the container file says."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts/slurm_train.sh"
DOCKERFILE = ROOT / "containers/Dockerfile"


@pytest.fixture
def slurm(tmp_path):
    """Runs the script where srun runs one process, and a program that says its words.

    Gives a function of the program's exit code and of the job's words.
    """
    place = tmp_path / "bin"
    place.mkdir()
    for name, body in {
        "srun": '[ "$1 $2" = "--kill-on-bad-exit=0 --wait=600" ] || exit 9\n'
        'shift 2\nexec "$@"',
        "scontrol": f'echo "$@" >> {shlex.quote(str(tmp_path / "requeued"))}',
        "program": f'printf "%s\\n" "$@" > {shlex.quote(str(tmp_path / "words"))}\n'
        'exit "$CODE"',
    }.items():
        (place / name).write_text(f"#!/bin/sh\n{body}\n")
        (place / name).chmod(0o755)

    def run(code: int, *words: str, starts: int = 0):
        environment = {
            "PATH": f"{place}:/usr/bin:/bin",
            "PROGRAM": str(place / "program"),
            "CODE": str(code),
            "SLURM_JOB_ID": "77",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURM_RESTART_COUNT": str(starts),
            "MOST_RESTARTS": "3",
        }
        done = subprocess.run(
            [shutil.which("bash"), str(SCRIPT), *words],
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        requeued = tmp_path / "requeued"
        return done, requeued.read_text() if requeued.exists() else ""

    run.words = tmp_path / "words"
    return run


@pytest.mark.parametrize(
    ("code", "starts", "exits", "requeued"),
    [
        (0, 0, 0, ""),
        (143, 0, 0, "requeue 77\n"),  # saved before the time was up
        (143, 3, 143, ""),
        (1, 0, 1, ""),
        (2, 0, 2, ""),
    ],
)
def test_a_job_goes_on_only_where_it_was_saved(slurm, code, starts, exits, requeued):
    words = ("--config=configs/vae.py:tones", "--workdir=runs/with a space")
    done, asked = slurm(code, *words, starts=starts)
    assert done.returncode == exits, done.stderr
    assert asked == requeued
    assert slurm.words.read_text().splitlines() == ["train", *words]


def test_a_job_without_words_says_how(slurm):
    done, _ = slurm(0)
    assert done.returncode == 2
    assert "usage: sbatch" in done.stderr


def test_what_slurm_is_asked_for_comes_before_any_command():
    """Slurm reads no further than the first command."""
    lines = SCRIPT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    asked = [line for line in lines if line.startswith("#SBATCH")]
    assert all(line.startswith("#SBATCH --") for line in asked)
    assert set(asked) <= set(lines[:first])
    assert "#SBATCH --signal=TERM@300" in asked  # every process, not the shell alone


def instructions():
    """Each instruction of the container file with its words, its lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n", " ", text)
    return [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]


def test_the_container_installs_from_the_lock():
    known = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "ENV"}
    known |= {"ENTRYPOINT", "CMD"}
    found = instructions()
    assert {name for name, _ in found} <= known
    installs = [
        command
        for name, words in found
        if name == "RUN"
        for command in words.split("&&")
        if "pip install" in command
    ]
    assert installs
    for command in installs:
        assert "--constraint constraints.txt" in command
    assert found[0] == ["FROM", "python:3.11-slim"]  # of the lock; no host named
    assert [words for name, words in found if name == "USER"] == ["1000"]


def test_the_container_is_given_no_runs_and_no_environments():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".venv", "runs", "data"} <= set(ignored)
    assert ".git" not in ignored  # a run's record names its commit
