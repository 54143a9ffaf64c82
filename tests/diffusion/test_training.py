"""Every loss option trains a small network on a mixture of Gaussians in the plane."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffusion_audio.diffusion.loss import Objective, averaged, example_losses
from diffusion_audio.diffusion.prediction import to_x0_eps
from diffusion_audio.diffusion.process import make_process
from diffusion_audio.diffusion.timestep_samplers import make_timestep_sampler
from diffusion_audio.diffusion.weighting import make_weighting

BATCH, STEPS, WIDTH = 128, 3000, 64
CENTRES = np.array([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]], np.float32)
SPREAD = 0.2
CHAIN = {"name": "linear", "steps": 200, "beta_end": 0.1}
FLOW = {"name": "rectified_flow"}

# The options of one run: those not given are plain L_simple on a linear chain.
FAST = "epsilon"  # the one in the fast tests
OPTIONS = {
    "epsilon": {},
    "x0": {"prediction": "x0"},
    "v": {"prediction": "v"},
    "velocity": {"prediction": "velocity", "process": FLOW},
    "shifted_flow": {"prediction": "velocity", "process": FLOW | {"shift": 2.0}},
    "zero_terminal": {"prediction": "v", "process": CHAIN | {"zero_terminal_snr": 1}},
    "karras_edm": {
        "prediction": "v",
        "process": {"name": "karras", "steps": 200, "sigma_max": 20.0},
        "weighting": {"name": "edm"},
    },
    "min_snr": {"weighting": {"name": "min_snr"}},
    "p2": {"weighting": {"name": "p2"}},
    "truncated_snr": {"prediction": "v", "weighting": {"name": "truncated_snr"}},
    "sigmoid": {"weighting": {"name": "sigmoid", "bias": 1.0}},
    "stratified": {"times": {"name": "stratified"}},
    "logit_normal": {
        "prediction": "velocity",
        "process": FLOW,
        "times": {"name": "logit_normal"},
    },
    "importance": {"times": {"name": "importance", "bins": 20}},
    "learned_variance": {"learned_variance": True},
}


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def data(seed, *shape):
    which = np.random.default_rng(seed).integers(0, 3, shape)
    return CENTRES[which] + np.float32(SPREAD) * normal(seed + 1, *shape, 2)


def start(outputs):
    sizes = [(2 + 8, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs)]
    return [
        normal(i, *size) / np.float32(size[0]) ** 0.5 for i, size in enumerate(sizes)
    ]


def distance(a, b, directions=16):
    """Sliced Wasserstein-1 distance of two samples of equal size."""
    angles = np.arange(directions) * np.pi / directions
    axes = np.stack([np.cos(angles), np.sin(angles)])
    gaps = np.sort(np.asarray(a) @ axes, axis=0) - np.sort(np.asarray(b) @ axes, axis=0)
    return np.abs(gaps).mean()


def run(prediction="epsilon", process=None, weighting=None, times=None, **objective):
    """Samples of a network trained for a moment."""
    process = make_process(**(process or CHAIN))
    weighting = make_weighting(**(weighting or {}))
    objective = Objective(prediction, weighting, **objective)
    objective.check(process)
    times = make_timestep_sampler(batch_size=BATCH, **(times or {"name": "uniform"}))
    latest = process.network_time(process.time(jnp.array([0.999]))).astype(jnp.float32)
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, STEPS))

    def net(params, x, t, cond=None):
        del cond
        share = t.astype(jnp.float32) / latest
        angles = share[:, None] * jnp.array([[1.0, 2, 4, 8]])
        h = jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)], axis=1)
        h = jax.nn.silu(h @ params[0])
        h = jax.nn.silu(h @ params[1])
        return h @ params[2]

    def step(carry, inputs):
        params, opt, memory = carry
        i, x0, eps = inputs
        key = jax.random.fold_in(jax.random.key(1), i)
        share, weights = times.draw(memory, key, jnp.arange(BATCH))

        def loss(params):
            losses = example_losses(
                net, params, process, x0, process.time(share), eps, None, objective
            )
            mean = averaged(losses, share, weights)[0]
            return mean, (mean, times.observe(share, losses))

        grads, (value, seen) = jax.grad(loss, has_aux=True)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt = optimizer.update(grads, opt, params)
        params = optax.apply_updates(params, updates)
        return (params, opt, times.update(memory, seen)), value

    def sample(params, x):
        def body(x, shares):
            now, after = (process.time(jnp.full(len(x), u)) for u in shares)
            alpha, sigma = process.alpha(now)[:, None], process.sigma(now)[:, None]
            output = net(params, x, process.network_time(now))[:, :2]
            x0, eps = to_x0_eps(prediction, output, x, alpha, sigma)
            x = process.alpha(after)[:, None] * x0 + process.sigma(after)[:, None] * eps
            return x, None

        grid = jnp.linspace(0.9999, 0.0, 51)
        return jax.lax.scan(body, x, (grid[:-1], grid[1:]))[0]

    @jax.jit
    def whole(params, inputs, noise):
        first = (params, optimizer.init(params), times.init())
        (params, _, _), _ = jax.lax.scan(step, first, inputs)
        return sample(params, noise)

    inputs = (np.arange(STEPS), data(5, STEPS, BATCH), normal(7, STEPS, BATCH, 2))
    params = start(4 if objective.learned_variance else 2)
    return whole(params, inputs, normal(8, 2000, 2))


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(name, marks=() if name == FAST else pytest.mark.slow)
        for name in OPTIONS
    ],
)
def test_it_learns_the_mixture(option):
    truth = data(9, 2000)
    assert distance(normal(11, 2000, 2), truth) > 0.25
    assert distance(run(**OPTIONS[option]), truth) < 0.1
