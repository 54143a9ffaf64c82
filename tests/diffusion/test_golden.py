"""Our solvers against what diffusers wrote into golden/solvers.npz."""

import numpy as np
import pytest

from tests.diffusion.make_golden import CASES, GOLDEN, far, ours

STORED = np.load(GOLDEN)


@pytest.mark.parametrize("name", CASES)
def test_step_by_step(name):
    case, chain = CASES[name], STORED[f"{name}/chain"]
    results = ours(case, STORED[f"{name}/outputs"], chain)
    assert far(results, chain[1:]) < case.tolerance()


@pytest.mark.parametrize("name", CASES)
def test_times(name):
    """The network is asked when theirs is, but for their rounding of fractions."""
    case, theirs = CASES[name], STORED[f"{name}/timesteps"]
    asked = case.grid.t[case.states]
    whole = np.issubdtype(asked.dtype, np.integer)
    np.testing.assert_allclose(asked, theirs, atol=0 if whole else 1)
