"""Our solvers against diffusers, step by step on the same model outputs.

The settings of ``make_golden`` over a grid; deviations on purpose are listed there.
"""

import itertools

import numpy as np
import pytest

from diffusion_audio.diffusion.grid import Grid, make_grid, timesteps
from diffusion_audio.diffusion.schedule import make_schedule
from tests.diffusion import make_golden
from tests.diffusion.make_golden import Case, far, ours, reference

pytest.importorskip("diffusers")
# Their own deprecation warnings are not ours to mend.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

SCHEDULES = (make_golden.LINEAR, make_golden.AUDIOLDM, make_golden.COSINE)
LEADING, OFFSET = {}, {"steps_offset": 1}
TRAILING, LINSPACE = {"spacing": "trailing"}, {"spacing": "linspace"}
KARRAS, LOGSNR = {"spacing": "karras"}, {"spacing": "logsnr"}
LATENT = OFFSET | {"final": "first"}
WHOLE = (LEADING, OFFSET, TRAILING, LINSPACE)
BOTH = ("epsilon", "v")
NUMBERS = (1, 4, 28)  # of which linspace is whole


def cases(solver, spacings, options=({},), predictions=BOTH, schedules=SCHEDULES):
    """Every combination, without those that `make_golden` lists as deviations."""
    every = [
        Case(solver, table, n, spacing, prediction, option)
        for table, n, spacing, prediction, option in itertools.product(
            schedules, NUMBERS, spacings, predictions, options
        )
    ]
    if solver not in make_golden.BY_SIGMA:
        return every
    interpolated = (KARRAS, LOGSNR)
    return [
        case
        for case in every
        if case.table != make_golden.COSINE
        and not (case.n == 1 and case.spacing in interpolated)
    ]


EVERY = {
    "ddpm": cases("ddpm", WHOLE, ({}, {"clip": 1.0})),
    "ddpm_variances": cases(
        "ddpm",
        (LEADING, LINSPACE),
        ({"variance": "beta"}, {"variance": "learned_range"}),
    ),
    "ddim": cases(
        "ddim", (LEADING, LATENT), ({}, {"eta": 0.5}, {"eta": 1.0}, {"clip": 1.0})
    ),
    "pndm": cases("pndm", (LEADING, LATENT), predictions=("epsilon",)),
    "euler": cases("euler", (*WHOLE, KARRAS, LOGSNR, LATENT)),
    "euler_churn": cases("euler", WHOLE, ({"churn": 3.0},), ("epsilon",)),
    "euler_ancestral": cases("euler_ancestral", WHOLE),
    "heun": cases("heun", (*WHOLE, KARRAS, LOGSNR)),
    **{
        solver: cases(solver, (*WHOLE, KARRAS, LOGSNR, LATENT))
        for solver in ("dpmpp_2m", "dpmpp_2m_sde")
    },
    "dpmpp_3m": cases(
        "dpmpp_3m", (*WHOLE, KARRAS, LOGSNR, LATENT), (make_golden.HALF,)
    ),
    "unipc": cases(
        "unipc", (*WHOLE, KARRAS, LOGSNR, LATENT), ({}, {"order": 3}, {"order": 1})
    ),
    "zero_snr": [
        case
        for solver in make_golden.THEIRS
        if solver not in ("pndm", "heun")  # without it there
        for case in cases(
            solver,
            (LEADING, TRAILING, LINSPACE) if solver != "ddim" else (LEADING,),
            (make_golden.HALF if solver == "dpmpp_3m" else {},),
            predictions=("v",),
            schedules=(make_golden.ZERO_SNR,),
        )
    ],
}


def compare(case, exact):
    times, outputs, chain = reference(case, exact=exact)
    asked = case.grid.t[case.states]
    whole = np.issubdtype(asked.dtype, np.integer)
    np.testing.assert_allclose(asked, times, atol=0 if whole else 1)
    return far(ours(case, outputs, chain), chain[1:])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("exact", [True, False], ids=["exact_tables", "as_shipped"])
def test_step_by_step(name, exact):
    wrong = []
    for case in EVERY[name]:
        distance = compare(case, exact)
        if not distance <= case.tolerance(exact=exact):
            wrong.append((distance, case))
    assert wrong == []


def split(grid, landing):
    """The grid with each step's own landing: only its even steps mean something."""
    t = np.repeat(grid.t, 2)
    alpha, sigma = (
        np.append(np.stack([level[:-1], land], axis=1), level[-1:])
        for level, land in zip((grid.alpha, grid.sigma), landing, strict=True)
    )
    return Grid(t, alpha, sigma)


@pytest.mark.parametrize("n", [4, 28])
@pytest.mark.parametrize("spacing", [TRAILING, LINSPACE], ids=["trailing", "linspace"])
@pytest.mark.parametrize("prediction", BOTH)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim_that_lands_elsewhere(n, spacing, prediction, eta):
    case = Case("ddim", make_golden.AUDIOLDM, n, spacing, prediction, {"eta": eta})
    _, outputs, chain = reference(case, exact=True)
    alpha_bars = case.schedule.alpha_bars
    to = case.grid.t - case.schedule.steps // n
    alpha_bar = np.where(to < 0, 1.0, alpha_bars[to])
    grid = split(case.grid, (np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)))
    noise = make_golden.drawn()
    for i in range(n):  # one step at a time, at row 2 i, with the noise of step i
        solver = make_golden.solvers.ddim(grid, prediction, eta=eta)
        x, _ = solver.step(
            lambda x, t, i=i: outputs[i],
            np.float32(chain[i]),
            solver.init(np.float32(chain[i])),
            2 * i,
            noise[0][i],
        )
        assert far(np.asarray(x)[None], chain[i + 1][None]) < 1e-5


def test_tables():
    from diffusers import DDPMScheduler

    for name, theirs in (("linear", "linear"), ("cosine", "squaredcos_cap_v2")):
        betas = DDPMScheduler(beta_schedule=theirs).betas
        np.testing.assert_allclose(make_schedule(name).betas, betas, rtol=2e-3)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("endpoint", [True, False])
def test_every_number_of_timesteps(spacing, endpoint):
    from diffusers import DDIMScheduler, UniPCMultistepScheduler

    if spacing == "trailing" and not endpoint:
        return
    scheduler = (DDIMScheduler if endpoint else UniPCMultistepScheduler)(
        timestep_spacing=spacing
    )
    for n in range(1, 1000 + endpoint):
        scheduler.set_timesteps(n)
        theirs = scheduler.timesteps.tolist()
        # By rounding, trailing spacing has a step too many for some n, at "-1".
        assert theirs[n:] in ([], [-1])
        assert timesteps(1000, n, spacing, 0, endpoint).tolist() == theirs[:n]


@pytest.mark.parametrize("spacing", ["karras", "logsnr"])
def test_noise_levels_between_timesteps(spacing):
    case = Case("euler", make_golden.STABLE, 17, {"spacing": spacing})
    theirs = make_golden.scheduler(case, exact=True)
    grid = make_grid(case.schedule, 17, spacing=spacing)
    np.testing.assert_allclose(grid.ratio, theirs.sigmas, rtol=1e-5)
    np.testing.assert_allclose(grid.t, theirs.timesteps, rtol=1e-4, atol=1e-3)
