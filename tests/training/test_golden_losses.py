"""A hundred losses of every recipe are those that are kept.

To the bit on the processor and with the versions that they were made with; elsewhere
sums are rounded in other ways, which training makes larger from step to step. Another
code generator of XLA's stays within 2e-7, and with discriminators within 1.1e-3.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.golden_losses import RECIPES, STEPS

KEPT = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
# Relative, at the first step and the last; between, it grows by the same factor.
TOLERANCE = (1e-4, 0.05)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Of a process of its own, with the flags of a user's and not of the tests."""
    out = tmp_path_factory.mktemp("losses")
    words = [sys.executable, "-m", "tests.training.golden_losses", str(out)]
    env = os.environ | {"XLA_FLAGS": ""}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def read(folder, name):
    found = json.loads((folder / f"{name}.json").read_text())
    assert len(found["losses"]) == STEPS
    return found["environment"], np.array(found["losses"])


@pytest.mark.parametrize("name", RECIPES)
def test_losses_are_those_that_are_kept(computed, name):
    (there, kept), (here, losses) = read(KEPT, name), read(computed, name)
    if there == here:
        np.testing.assert_array_equal(losses, kept)
        return
    allowed = np.geomspace(*TOLERANCE, STEPS)
    error = np.abs(losses - kept) / np.abs(kept)
    worst = int(np.argmax(error / allowed))
    assert (error <= allowed).all(), f"step {worst + 1}: {losses[worst]} {kept[worst]}"


def test_every_kept_file_is_of_a_recipe():
    assert {path.stem for path in KEPT.glob("*.json")} == set(RECIPES)
