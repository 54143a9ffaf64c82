"""Samplers of diffusers and ours, step by step on the same model outputs.

``python tests/diffusion/make_golden.py`` writes ``golden/solvers.npz`` from diffusers
(it needs what ``make parity`` installs); ``test_golden.py`` compares with that file,
``tests/parity/test_solvers.py`` with diffusers itself, over a larger grid.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.diffusion import noise, schedule, solvers

GOLDEN = Path(__file__).parent / "golden" / "solvers.npz"
SHAPE = (2, 3)  # [B, N]
KEY = 7

AUDIOLDM = {"name": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
STABLE = {"name": "scaled_linear"}
LINEAR = {"name": "linear"}
COSINE = {"name": "cosine"}
LEADING, OFFSET = {}, {"steps_offset": 1}
TRAILING, LINSPACE = {"spacing": "trailing"}, {"spacing": "linspace"}

# name: (sampler, schedule, spacing, number of steps, options)
CASES = {
    "ddpm_linear": ("ddpm", LINEAR, LEADING, 8, {}),
    "ddpm_offset": ("ddpm", AUDIOLDM, OFFSET, 8, {}),
    "ddpm_clip": ("ddpm", LINEAR, TRAILING, 5, {"clip": 1.0}),
    "ddim_audioldm": ("ddim", AUDIOLDM, OFFSET, 8, {"set_alpha_to_one": False}),
    "ddim_audioldm_noisy": (
        "ddim",
        AUDIOLDM,
        OFFSET,
        8,
        {"set_alpha_to_one": False, "eta": 1.0},
    ),
    "ddim_stable_linspace": ("ddim", STABLE, LINSPACE, 7, {"eta": 0.5}),
    "ddim_cosine": ("ddim", COSINE, LEADING, 8, {"eta": 0.3}),
    "ddim_trailing": ("ddim", LINEAR, TRAILING, 6, {}),
    "ddim_clip": ("ddim", LINEAR, LEADING, 5, {"clip": 1.0}),
}


def drawn(i, n):
    """Noise of step i, drawn as ``sample`` draws it."""
    key = jax.random.fold_in(jax.random.key(KEY), i)
    keys = noise.example_keys(key, jnp.arange(SHAPE[0]))
    return keys, np.array(noise.example_noise(keys, SHAPE[1:]))


def reference(sampler, table, spacing, n, options):
    """Timesteps [n], outputs fed [n, B, N] and the chain [n + 1, B, N] of diffusers."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.schedulers import scheduling_ddpm

    options = dict(options)
    clip, eta = options.pop("clip", None), options.pop("eta", 0.0)
    name = {"cosine": "squaredcos_cap_v2"}.get(table["name"], table["name"])
    betas = {k: v for k, v in table.items() if k != "name"}
    if name == "scaled_linear" and not betas:
        betas = {"beta_start": 0.00085, "beta_end": 0.012}
    cls = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[sampler]
    scheduler = cls(
        beta_schedule=name,
        clip_sample=clip is not None,
        clip_sample_range=clip or 1.0,
        timestep_spacing=spacing.get("spacing", "leading"),
        steps_offset=spacing.get("steps_offset", 0),
        **betas,
        **options,
    )
    scheduler.set_timesteps(n)
    rng = np.random.default_rng(n)
    eps = rng.standard_normal((n, *SHAPE)).astype(np.float32)
    x = torch.from_numpy(rng.standard_normal(SHAPE).astype(np.float32))
    chain = [x.numpy()]
    for i, t in enumerate(scheduler.timesteps):
        z = torch.from_numpy(drawn(i, n)[1])
        if sampler == "ddim":
            more = {"eta": eta, "use_clipped_model_output": True}
            more |= {"variance_noise": z} if eta else {}
        else:
            more = {}
            scheduling_ddpm.randn_tensor = lambda *a, z=z, **k: z
        x = scheduler.step(torch.from_numpy(eps[i]), int(t), x, **more).prev_sample
        chain.append(x.numpy())
    return scheduler.timesteps.numpy(), eps, np.stack(chain)


def ours(case, eps, chain):
    """Timesteps [n], and what our solver makes of each x of the chain, [n, B, N]."""
    sampler, table, spacing, n, options = case
    noising = schedule.make_schedule(**table)
    grid = solvers.timesteps(noising.steps, n, **spacing)
    options = dict(options)
    if sampler == "ddim":  # diffusers lands there, whatever the spacing
        options["previous"] = grid - noising.steps // n
    solver = getattr(solvers, sampler)(noising, grid, **options)

    @jax.jit
    def step(x, eps, i, keys):
        return solver.step(lambda x, t: eps, x, solver.init(x), i, keys)[0]

    results = [step(chain[i], eps[i], i, drawn(i, n)[0]) for i in range(n)]
    return grid, np.stack(results)


def far(ours, theirs):
    """Largest difference of a step, relative to the largest value of its result."""
    size = np.abs(theirs).max(axis=(1, 2)).clip(1.0)
    return (np.abs(ours - theirs).max(axis=(1, 2)) / size).max()


def main():
    arrays = {}
    for name, case in CASES.items():
        for part, array in zip(
            ("timesteps", "eps", "chain"), reference(*case), strict=True
        ):
            arrays[f"{name}/{part}"] = array
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
