"""Samplers of diffusers and ours, step by step on the same model outputs.

``python tests/diffusion/make_golden.py`` writes ``golden/solvers.npz`` from diffusers
(it needs what ``make parity`` installs); ``test_golden.py`` compares with that file,
``tests/parity/test_solvers.py`` with diffusers itself, over a larger grid.
"""

import functools
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
    "ddpm_linear": ("ddpm", LINEAR, LEADING, 6, {}),
    "ddpm_offset": ("ddpm", AUDIOLDM, OFFSET, 6, {}),
    "ddpm_clip": ("ddpm", LINEAR, TRAILING, 6, {"clip": 1.0}),
    "ddim_audioldm": ("ddim", AUDIOLDM, OFFSET, 6, {"set_alpha_to_one": False}),
    "ddim_audioldm_noisy": (
        "ddim",
        AUDIOLDM,
        OFFSET,
        6,
        {"set_alpha_to_one": False, "eta": 1.0},
    ),
    "ddim_stable_linspace": ("ddim", STABLE, LINSPACE, 6, {"eta": 0.5}),
    "ddim_cosine": ("ddim", COSINE, LEADING, 6, {"eta": 0.3}),
    "ddim_trailing": ("ddim", LINEAR, TRAILING, 6, {}),
    "ddim_clip": ("ddim", LINEAR, LEADING, 6, {"clip": 1.0}),
}


@functools.cache
def drawn(n):
    """Keys [n, B] and noise [n, B, N] of n steps, drawn as ``sample`` draws them."""
    root = jax.random.key(KEY)
    steps = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(root, jnp.arange(n))
    keys = jax.vmap(noise.example_keys, in_axes=(0, None))(steps, jnp.arange(SHAPE[0]))
    return keys, np.array(jax.vmap(lambda k: noise.example_noise(k, SHAPE[1:]))(keys))


def reference(sampler, table, spacing, n, options, tables=None):
    """What diffusers does: timesteps [n], outputs fed [n, B, N], chain [n + 1, B, N].

    ``tables``, "float64", replaces its float32 cumulative products by exact ones.
    """
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
    if tables == "float64":
        exact = schedule.make_schedule(**table).alpha_bars
        scheduler.alphas_cumprod = torch.from_numpy(exact)
        if sampler == "ddim" and not options.get("set_alpha_to_one", True):
            scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    scheduler.set_timesteps(n)
    rng = np.random.default_rng(n)
    eps = rng.standard_normal((n, *SHAPE)).astype(np.float32)
    x = torch.from_numpy(rng.standard_normal(SHAPE).astype(np.float32))
    chain = [x.numpy()]
    for i, t in enumerate(scheduler.timesteps):
        z = torch.from_numpy(drawn(n)[1][i])
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

    def step(i, x, eps, keys):
        return solver.step(lambda x, t: eps, x, solver.init(x), i, keys)[0]

    start = jnp.asarray(chain[:-1])
    return grid, jax.vmap(step)(jnp.arange(n), start, jnp.asarray(eps), drawn(n)[0])


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
