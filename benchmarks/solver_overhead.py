"""What a sampler costs beside its network: ours against diffusers' scheduler loop.

The same small network, float32 on the CPU, the same solver and timesteps. What the
network and the random numbers alone cost (as many calls of it, and as many draws where
the solver adds noise, one after the other, in the same framework) is measured beside it
and taken off; repeats of all four alternate, so that a slow moment of the machine meets
them all.

    python benchmarks/solver_overhead.py
"""

import time
from collections.abc import Callable

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import torch

from diffusion_audio.diffusion.grid import make_grid
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import make_solver

STEPS, REPEATS = 50, 15
SHAPE = (4, 8, 8, 16)  # latents [B, H, W, C]
WIDTH = 32
# ours -> diffusers' scheduler and its options
SOLVERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++"},
    ),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
STOCHASTIC = ("ddpm", "euler_ancestral", "dpmpp_2m_sde")
WEIGHTS = [
    np.random.default_rng(0).normal(size=size).astype(np.float32) / size[0] ** 0.5
    for size in ((SHAPE[-1], WIDTH), (WIDTH, SHAPE[-1]))
]


def network(x: jax.Array, t: jax.Array) -> jax.Array:
    """Two dense layers over the channels, [B, H, W, C]."""
    del t
    first, last = map(jnp.asarray, WEIGHTS)
    return jnp.tanh(x @ first) @ last


def torch_network(x: torch.Tensor) -> torch.Tensor:
    """The same, channels last."""
    first, last = map(torch.from_numpy, WEIGHTS)
    return torch.tanh(x @ first) @ last


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ours(name: str) -> tuple[Callable[[], object], Callable[[], object], Callable]:
    """Our sampler, its network and noise alone, and the compiled function."""
    solver = make_solver(name, make_grid(make_schedule("linear"), STEPS))

    @jax.jit
    def whole(x: jax.Array, key: jax.Array) -> jax.Array:
        return sample(solver, network, x, key)

    @jax.jit
    def alone(x: jax.Array, key: jax.Array) -> jax.Array:
        def body(x: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
            x = network(x, jnp.full(x.shape[:1], i))
            if name in STOCHASTIC:
                x = x + jax.random.normal(jax.random.fold_in(key, i), x.shape)
            return x, None

        return jax.lax.scan(body, x, jnp.arange(solver.evaluations))[0]

    keys = iter(jax.random.split(jax.random.key(0), 10 * REPEATS))

    def run() -> object:
        key = next(keys)
        x = jax.random.normal(key, SHAPE)
        return whole(x, key).block_until_ready()

    def run_alone() -> object:
        key = next(keys)
        x = jax.random.normal(key, SHAPE)
        return alone(x, key).block_until_ready()

    return run, run_alone, whole


def theirs(name: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The loop of diffusers, and its network and noise alone."""
    scheduler_name, options = SOLVERS[name]
    scheduler = getattr(diffusers, scheduler_name)(
        beta_schedule="linear", beta_start=1e-4, beta_end=0.02, **options
    )
    scheduler.set_timesteps(STEPS)
    calls = len(scheduler.timesteps)

    @torch.no_grad()
    def run() -> object:
        scheduler.set_timesteps(STEPS)  # forgets the steps of the last run
        x = torch.randn(SHAPE) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            output = torch_network(scheduler.scale_model_input(x, t))
            x = scheduler.step(output, t, x).prev_sample
        return x

    @torch.no_grad()
    def run_alone() -> object:
        x = torch.randn(SHAPE)
        for _ in range(calls):
            x = torch_network(x)
            if name in STOCHASTIC:
                x = x + torch.randn(SHAPE)
        return x

    return run, run_alone


def main() -> None:
    """Prints a row a solver: microseconds a step, and the ratio."""
    print("| solver | ours, us a step | diffusers, us a step | ratio | programs |")
    print("|---|---|---|---|---|")
    for name in SOLVERS:
        mine, mine_alone, compiled = ours(name)
        others, others_alone = theirs(name)
        runs = [mine, mine_alone, others, others_alone]
        for run in runs:
            run()  # compiles, fills caches
        times = np.array([[seconds(run) for run in runs] for _ in range(REPEATS)])
        a, a_alone, b, b_alone = np.median(times, axis=0) / STEPS * 1e6
        own, other = a - a_alone, b - b_alone
        print(
            f"| `{name}` | {own:.1f} | {other:.1f} | {other / own:.0f} "
            f"| {compiled._cache_size()} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
