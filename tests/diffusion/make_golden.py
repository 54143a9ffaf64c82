"""Samplers of diffusers and ours, step by step on the same model outputs.

``python tests/diffusion/make_golden.py`` writes ``golden/solvers.npz`` from diffusers
(it needs what ``make parity`` installs); ``test_golden.py`` compares with that file,
``tests/parity/test_solvers.py`` with diffusers itself, over a larger grid.

Where we deviate on purpose, and what a comparison does about it:

* A step of ours lands where the next begins. diffusers' DDIM and PNDM land at
  t - T // n, which is elsewhere with linspace, and with trailing where n does not
  divide T: DDIM is compared a step at a time (``split``), PNDM where it lands right.
* Times of leading, trailing and linspace are whole. diffusers' Euler and Heun leave
  those of linspace fractional and interpolate sigma: compared where they are whole.
  Times of karras and logsnr are fractional; diffusers' DPM-Solver and UniPC round them.
* dpmpp_3m is of third order. diffusers', like the authors', halves a term and is of
  second: compared with it halved too.
* Karras sigmas span the whole chain. diffusers' Euler and Heun make them span the
  spacing, which for linspace of two steps and more is the same.
* Near the data 1 - alpha_bar from their float32 alpha_bar is off by up to a
  thousandth, and with it the last ratio of karras, logsnr and final "first": compared
  to 2e-4 as shipped, to 1e-5 with our alpha_bar in the place of theirs (``exact``).
* Cosine schedules end at a ratio of 2e4, at which the float32 state of their Euler and
  Heun, x / alpha, holds no more digits: compared on the other schedules.
* Zero terminal SNR is 0. diffusers' sigma-based samplers take alpha_bar = 2^-24, and
  are compared at that (``nearly_pure``); DDPM and DDIM at 0. There the state of Euler
  is some 4096 in float32, so that its first step is compared to 5e-4.
* PNDM averages eps. With v_prediction diffusers averages v of different times and
  converts the mean as if of one: compared with epsilon only.
* After churn a network is asked at the raised noise level, and every prediction read
  there. diffusers' Euler asks at the old one and reads v there: compared with epsilon.
* DDPM with variance beta or learned adds no noise on landing at the data, as in Ho et
  al., algorithm 2; diffusers does unless t = 0: compared where it is.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.diffusion import noise, schedule, solvers
from diffusion_audio.diffusion.grid import Grid, make_grid

GOLDEN = Path(__file__).parent / "golden" / "solvers.npz"
SHAPE = (2, 3)  # [B, N]
KEY = 7

LINEAR = {"name": "linear"}
STABLE = {"name": "scaled_linear"}
AUDIOLDM = STABLE | {"beta_start": 0.0015, "beta_end": 0.0195}
COSINE = {"name": "cosine"}
ZERO_SNR = STABLE | {"zero_terminal_snr": True}

THEIRS = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "dpmpp_2m_sde": "DPMSolverMultistepScheduler",
    "dpmpp_3m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}
BY_SIGMA = ("euler", "euler_ancestral", "heun")  # their state is x / alpha
SKIP_LAST = ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "unipc")


@dataclasses.dataclass(frozen=True)
class Case:
    """A sampler with its settings, in our words."""

    solver: str
    table: dict
    n: int
    spacing: dict = dataclasses.field(default_factory=dict)
    prediction: str = "epsilon"
    options: dict = dataclasses.field(default_factory=dict)

    @property
    def schedule(self):
        return schedule.make_schedule(**self.table)

    @property
    def nearly_pure(self):
        """Whether diffusers takes alpha_bar = 2^-24 where ours is 0."""
        zero = self.table.get("zero_terminal_snr", False)
        return zero and self.solver not in ("ddpm", "ddim", "pndm")

    def tolerance(self, *, exact=False):
        """How far a step may be from theirs, relative to its scale."""
        if self.nearly_pure and self.solver in BY_SIGMA:
            return 5e-4
        from_data = self.spacing.get("spacing") in ("karras", "logsnr")
        from_data |= self.spacing.get("final") == "first"
        return 2e-4 if from_data and not exact else 1e-5

    @property
    def states(self):
        """Of each evaluation, the state of the grid that it is at."""
        if self.solver == "heun":
            return (np.arange(2 * self.n - 1) + 1) // 2
        if self.solver == "pndm" and self.n > 1:
            return np.append([0, 1], np.arange(1, self.n))
        return np.arange(self.n)

    @functools.cached_property
    def grid(self):
        spacing = dict(self.spacing)
        if self.solver in SKIP_LAST and spacing.get("spacing", "leading") in (
            "leading",
            "linspace",
        ):
            spacing["endpoint"] = False
        grid = make_grid(self.schedule, self.n, **spacing)
        if self.nearly_pure and grid.alpha[0] == 0:
            alpha, sigma = grid.alpha.copy(), grid.sigma.copy()
            alpha[0], sigma[0] = 2.0**-12, np.sqrt(1 - 2.0**-24)
            grid = dataclasses.replace(grid, alpha=alpha, sigma=sigma)
        return grid


HALF = {"half_curvature": True}  # as theirs; see `solvers.dpmpp_3m`
CASES = {
    "ddpm_linear": Case("ddpm", LINEAR, 6),
    "ddpm_offset": Case("ddpm", AUDIOLDM, 6, {"steps_offset": 1}),
    "ddpm_clip": Case(
        "ddpm", LINEAR, 6, {"spacing": "trailing"}, options={"clip": 1.0}
    ),
    "ddpm_beta": Case("ddpm", LINEAR, 6, options={"variance": "beta"}),
    "ddpm_learned": Case("ddpm", COSINE, 6, options={"variance": "learned_range"}),
    "ddpm_zero_snr": Case("ddpm", ZERO_SNR, 6, {"spacing": "trailing"}, "v"),
    "ddim_audioldm": Case("ddim", AUDIOLDM, 6, {"steps_offset": 1, "final": "first"}),
    "ddim_noisy": Case(
        "ddim",
        AUDIOLDM,
        6,
        {"steps_offset": 1, "final": "first"},
        options={"eta": 1.0},
    ),
    "ddim_cosine": Case("ddim", COSINE, 6, prediction="v", options={"eta": 0.3}),
    "ddim_zero_snr": Case("ddim", ZERO_SNR, 5, {"spacing": "trailing"}, "v"),
    "ddim_clip": Case("ddim", LINEAR, 6, options={"clip": 1.0}),
    "pndm_stable": Case("pndm", STABLE, 8, {"steps_offset": 1, "final": "first"}),
    "pndm_trailing": Case("pndm", LINEAR, 5, {"spacing": "trailing"}),
    "euler_linspace": Case("euler", STABLE, 4, {"spacing": "linspace"}),
    "euler_karras_churn": Case(
        "euler", STABLE, 6, {"spacing": "karras"}, options={"churn": 2.0}
    ),
    "euler_zero_snr": Case("euler", ZERO_SNR, 6, {"spacing": "trailing"}, "v"),
    "euler_ancestral": Case("euler_ancestral", AUDIOLDM, 6, {"steps_offset": 1}, "v"),
    "heun_karras": Case("heun", STABLE, 6, {"spacing": "karras"}),
    "heun_trailing": Case("heun", LINEAR, 6, {"spacing": "trailing"}, "v"),
    "dpmpp_2m_stable": Case("dpmpp_2m", STABLE, 6, {"steps_offset": 1}),
    "dpmpp_2m_karras": Case(
        "dpmpp_2m", AUDIOLDM, 16, {"spacing": "karras", "final": "first"}, "v"
    ),
    "dpmpp_2m_zero_snr": Case("dpmpp_2m", ZERO_SNR, 6, {"spacing": "trailing"}, "v"),
    "dpmpp_2m_sde": Case("dpmpp_2m_sde", STABLE, 6, {"spacing": "linspace"}),
    "dpmpp_3m_logsnr": Case("dpmpp_3m", STABLE, 16, {"spacing": "logsnr"}, "v", HALF),
    "unipc_linspace": Case("unipc", STABLE, 6, {"spacing": "linspace"}, "v"),
    "unipc_third": Case(
        "unipc", AUDIOLDM, 8, {"spacing": "trailing"}, options={"order": 3}
    ),
    "unipc_zero_snr": Case("unipc", ZERO_SNR, 6, {"spacing": "trailing"}, "v"),
}


@functools.cache
def drawn():
    """Keys [64, B] and noise [64, B, N], drawn as ``sample`` draws them."""
    root, steps = jax.random.key(KEY), jnp.arange(64)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(root, steps)
    keys = jax.vmap(noise.example_keys, in_axes=(0, None))(keys, jnp.arange(SHAPE[0]))
    return keys, np.array(jax.vmap(lambda k: noise.example_noise(k, SHAPE[1:]))(keys))


def scheduler(case: Case, *, exact: bool) -> Any:
    """Their scheduler of a case, its timesteps set.

    ``exact`` replaces their float32 cumulative products by our float64 ones.
    """
    import diffusers
    import torch

    options, spacing = dict(case.options), dict(case.spacing)
    table = dict(case.table)
    config = {
        "beta_schedule": {"cosine": "squaredcos_cap_v2"}.get(
            table["name"], table["name"]
        ),
        "prediction_type": {"v": "v_prediction"}.get(case.prediction, "epsilon"),
        "steps_offset": spacing.get("steps_offset", 0),
        "timestep_spacing": spacing.get("spacing", "leading"),
    }
    if table["name"] != "cosine":
        usual = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}
        first, last = usual[table["name"]]
        config["beta_start"] = table.get("beta_start", first)
        config["beta_end"] = table.get("beta_end", last)
    if table.get("zero_terminal_snr"):
        config["rescale_betas_zero_snr"] = True
    by_ratio = {"karras": "use_karras_sigmas", "logsnr": "use_exponential_sigmas"}
    if config["timestep_spacing"] in by_ratio:
        config[by_ratio[config["timestep_spacing"]]] = True
        config["timestep_spacing"] = "linspace"
    to_data = spacing.get("final", "data") == "data"
    if case.solver in ("ddim", "pndm"):
        config["set_alpha_to_one"] = to_data
    elif case.solver in (*SKIP_LAST, "euler"):
        config["final_sigmas_type"] = "zero" if to_data else "sigma_min"
    if case.solver in ("ddpm", "ddim"):
        config["clip_sample"] = "clip" in options
        config["clip_sample_range"] = options.get("clip", 1.0)
    if case.solver == "ddpm":
        variances = {"beta": "fixed_large", "learned_range": "learned_range"}
        config["variance_type"] = variances.get(options.get("variance"), "fixed_small")
    if case.solver == "pndm":
        config["skip_prk_steps"] = True
    if case.solver.startswith("dpmpp"):
        config["solver_order"] = 3 if case.solver == "dpmpp_3m" else 2
        sde = case.solver.endswith("sde")
        config["algorithm_type"] = "sde-dpmsolver++" if sde else "dpmsolver++"
    if case.solver == "unipc":
        config["solver_order"] = options.get("order", 2)
    theirs = getattr(diffusers, THEIRS[case.solver])(**config)
    if exact:
        alpha_bars = case.schedule.alpha_bars.copy()
        if case.nearly_pure:
            alpha_bars[-1] = 2.0**-24
        theirs.alphas_cumprod = torch.from_numpy(alpha_bars)
        if case.solver in ("ddim", "pndm") and not to_data:
            theirs.final_alpha_cumprod = theirs.alphas_cumprod[0]
    theirs.set_timesteps(case.n)
    if hasattr(theirs, "set_begin_index"):  # else it looks a repeated timestep up
        theirs.set_begin_index(0)
    return theirs


def reference(case: Case, *, exact: bool = False):
    """What diffusers does.

    Returns:
        Its timesteps [n], the model outputs that it was fed [n, B, N], and the chain
        of its states, ours being alpha times those of some [n + 1, B, N].
    """
    import torch

    theirs = scheduler(case, exact=exact)
    module = __import__(type(theirs).__module__, fromlist=["randn_tensor"])
    # By rounding, trailing spacing has a step too many for some n, at "-1".
    times = theirs.timesteps[theirs.timesteps >= 0]
    rng = np.random.default_rng(case.n)
    wide = case.options.get("variance") == "learned_range"
    outputs = rng.standard_normal((len(times), *SHAPE[:1], SHAPE[1] * (1 + wide)))
    outputs = outputs.astype(np.float32)
    scale = np.ones(len(times) + 1)
    if case.solver in BY_SIGMA:
        scale = np.sqrt(1 + theirs.sigmas.double().numpy() ** 2)[: len(times) + 1]
    x = rng.standard_normal(SHAPE)
    chain = [x]
    y = torch.from_numpy((x * scale[0]).astype(np.float32))
    for i, t in enumerate(times):
        z = torch.from_numpy(drawn()[1][i])
        module.randn_tensor = lambda *a, z=z, **k: z
        more = {}
        if case.solver == "ddim":
            more = {"eta": case.options.get("eta", 0.0)}
            more["use_clipped_model_output"] = True
        if case.solver == "euler":
            more = {"s_churn": case.options.get("churn", 0.0)}
        if case.solver in BY_SIGMA:
            theirs.scale_model_input(y, t)
        else:
            t = int(t)
        y = theirs.step(torch.from_numpy(outputs[i]), t, y, **more).prev_sample
        chain.append(y.double().numpy() / scale[i + 1])
    return times.numpy().astype(np.float64), outputs, np.stack(chain)


def ours(case: Case, outputs, chain, grid: Grid | None = None):
    """What our solver makes of each x of the chain, [n, B, N].

    Each step starts from their x, so that a difference is of that step; what the
    solver remembers is its own.
    """
    solver = solvers.make_solver(
        case.solver, grid or case.grid, case.prediction, **case.options
    )

    xs, outputs = jnp.asarray(chain, jnp.float32), jnp.asarray(outputs)
    indices, keys = jnp.arange(solver.evaluations), drawn()[0]
    state, results = solver.init(xs[0]), []
    for i in indices:  # compiling each case as a whole takes longer
        x, state = solver.step(lambda x, t, i=i: outputs[i], xs[i], state, i, keys[i])
        results.append(np.asarray(x))
    return np.stack(results)


def far(ours, theirs):
    """Largest difference of a step, relative to the largest value of its result."""
    size = np.abs(theirs).max(axis=(1, 2)).clip(1.0)
    return (np.abs(ours - theirs).max(axis=(1, 2)) / size).max()


def main():
    arrays = {}
    for name, case in CASES.items():
        for part, array in zip(
            ("timesteps", "outputs", "chain"), reference(case), strict=True
        ):
            arrays[f"{name}/{part}"] = array.astype(np.float32)
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
