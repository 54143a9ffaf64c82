"""Applies each fault to a copy of the tree and asks the tests.

A fault's tests must pass without it, or their failing would say nothing. It is killed
where pytest ran and a test failed; an error before any test ran, and tests that do not
end, tell nothing and count as survival.
"""

import contextlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tests.mutants.faults import Fault, changed

COPIED = ("diffusion_audio", "configs", "experiments", "tests", "pyproject.toml")
SECONDS = 600  # that the tests of a fault may take
PASSED, FAILED = 0, 1  # pytest's exit statuses
# Imported once, in the process that all others are forked from: half of the time.
LIBRARIES = [
    *("pytest", "hypothesis", "jax.numpy", "flax.nnx", "optax", "scipy.stats"),
    *("librosa", "soundfile", "soxr", "grain", "tokenizers"),
]


class Verdict(NamedTuple):
    """What the tests said of a fault: killed or not, and by which test or why not."""

    killed: bool
    why: str


def copy_of(root: Path, folder: Path) -> Path:
    """The tree that faults are put into."""
    for name in COPIED:
        if (root / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / name, folder / name, ignore=ignored)
        elif (root / name).exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(root / name, folder / name)
    return folder


def prepare(cache: Path) -> None:
    """What every later process is forked with; to be called once."""
    os.environ |= {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        # What most faults leave as it was is compiled once for all of them.
        "JAX_COMPILATION_CACHE_DIR": str(cache),
    }
    multiprocessing.set_start_method("forkserver")
    multiprocessing.set_forkserver_preload(LIBRARIES)


def pytest_in(tree: Path, tests: tuple[str, ...], said: Path) -> None:
    """Runs pytest in a tree; to be called in a process of its own, which it ends."""
    import pytest

    # This tree's own modules stand in the way of those of the same name.
    for name in [*sys.modules]:
        if name.split(".")[0] in ("tests", "diffusion_audio", "configs"):
            del sys.modules[name]
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = False
    with said.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        words = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
        words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of LIBRARIES
        sys.exit(pytest.main([*words, *tests]))


def ask(tree: Path, tests: tuple[str, ...]) -> tuple[int | None, str]:
    """Exit status (None: it did not end) and output of pytest in a tree."""
    said = tree / "said.txt"
    said.write_text("", encoding="utf-8")
    process = multiprocessing.Process(target=pytest_in, args=(tree, tests, said))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None, f"no end after {SECONDS} s"
    return process.exitcode, said.read_text(encoding="utf-8")


def judge(tree: Path, fault: Fault, number: int) -> Verdict:
    """Puts the n-th fault into a tree, asks its tests and takes it out again."""
    path = tree / fault.file
    right, when = path.read_text(encoding="utf-8"), int(path.stat().st_mtime)
    path.write_text(changed(tree, fault), encoding="utf-8")
    # Python knows what it has compiled by size and second: no fault has another's.
    os.utime(path, (when + number, when + number))
    try:
        status, said = ask(tree, fault.tests)
    finally:
        path.write_text(right, encoding="utf-8")
        os.utime(path, (when, when))
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if status == FAILED and failed:
        return Verdict(True, failed[1])
    if status == PASSED:
        return Verdict(False, f"every test of {', '.join(fault.tests)} passes")
    return Verdict(False, f"pytest ended with {status}: {said.strip()[-300:]}")


def survivors(root: Path, faults: Mapping[str, Fault], console: Console) -> list[str]:
    """Tries each fault; the names of those that no test notices."""
    left, sound = [], set()  # the second: tests that pass without a fault
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        tree = copy_of(root, Path(place, "tree"))
        prepare(Path(place, "compiled"))
        for number, fault in enumerate(faults.values(), 1):
            start = time.monotonic()
            if fault.tests not in sound:
                status, said = ask(tree, fault.tests)
                if status != PASSED:
                    console.print(said[-2000:], markup=False)
                    tests = ", ".join(fault.tests)
                    raise SystemExit(f"{tests}: must pass without a fault; mend that")
                sound.add(fault.tests)
            verdict = judge(tree, fault, number)
            if not verdict.killed:
                left.append(fault.name)
            console.print(
                f"{number:3}/{len(faults)} {time.monotonic() - start:5.1f} s "
                f"{'killed  ' if verdict.killed else 'SURVIVED'} {fault.name:32} "
                f"{verdict.why}",
                markup=False,
                soft_wrap=True,
            )
    return left
