"""Our solvers against what diffusers wrote into golden/solvers.npz."""

import runpy
from pathlib import Path

import numpy as np
import pytest

golden = runpy.run_path(str(Path(__file__).with_name("make_golden.py")))
STORED = np.load(golden["GOLDEN"])


@pytest.mark.parametrize("name", golden["CASES"])
def test_step_by_step(name):
    chain = STORED[f"{name}/chain"]
    case = golden["CASES"][name]
    grid, results = golden["ours"](case, STORED[f"{name}/eps"], chain)
    np.testing.assert_array_equal(grid, STORED[f"{name}/timesteps"])
    assert golden["far"](results, chain[1:]) < 1e-5
