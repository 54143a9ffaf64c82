"""The list of faults fits the code, and the tool tells killed from survived."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.faults import Fault, changed, read_faults

ROOT = Path(__file__).parents[1]


def test_every_fault_of_the_list_can_be_put_in():
    faults = read_faults(ROOT / "tests/mutants")
    assert len(faults) >= 45
    for fault in faults.values():
        assert changed(ROOT, fault) != (ROOT / fault.file).read_text(encoding="utf-8")
        for name in fault.tests:
            path, _, test = name.partition("::")
            assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8"), name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x = 3", "x = 4", "expected its old text once in a.py, found it 0 times"),
        ("x", "y", "found it 2 times"),
        ("x = 1", "x = 1", "the new text is the old one"),
    ],
)
def test_a_fault_that_fits_no_more_is_refused(tmp_path, old, new, message):
    (tmp_path / "a.py").write_text("x = 1\nx = 2\n")
    with pytest.raises(ValueError, match=message):
        changed(tmp_path, Fault("name", "a.py", old, new, ()))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            '[a]\nfile = "a.py"\nold = "x"',
            "a lacks or does not know new, tests",
        ),
        (
            'tests = []\n[a]\nfile = "a.py"\nold = "x"\nnew = "y"\nnwe = "z"',
            "a lacks or does not know nwe",
        ),
    ],
)
def test_a_list_with_other_fields_is_refused(tmp_path, tables, message):
    (tmp_path / "a.toml").write_text(tables)
    with pytest.raises(ValueError, match=message):
        read_faults(tmp_path)


TRY = """
import pathlib, sys
from rich.console import Console
from tests.mutants import runner
from tests.mutants.faults import Fault

runner.LIBRARIES = []
root = pathlib.Path(sys.argv[1])
file, tests = "diffusion_audio/a.py", ("tests/test_a.py",)
faults = [
    Fault("noticed", file, "return 1", "return 2", tests),
    Fault("unnoticed", file, "return 3", "return 4", tests),
    Fault("broken", file, "return 1", "return (", tests),
]
print(runner.survivors(root, {one.name: one for one in faults}, Console()))
"""


def test_what_no_test_notices_survives(tmp_path):
    """And so does what keeps the tests from running, which shows nothing."""
    (tmp_path / "diffusion_audio").mkdir()
    (tmp_path / "diffusion_audio/__init__.py").touch()
    (tmp_path / "tests").mkdir()
    code = "def seen():\n    return 1\n\n\ndef unseen():\n    return 3\n"
    (tmp_path / "diffusion_audio/a.py").write_text(code)
    test = "from diffusion_audio.a import seen\n\n\ndef test_a():\n"
    test = f"{test}    assert seen() == 1\n"
    (tmp_path / "tests/test_a.py").write_text(test)
    words = [sys.executable, "-c", TRY, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "['unnoticed', 'broken']"
    assert "killed   noticed" in done.stdout
    assert (tmp_path / "diffusion_audio/a.py").read_text() == code
