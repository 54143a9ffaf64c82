import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.diffusion import get_config
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.solvers import SOLVERS
from diffusion_audio.errors import UserError
from diffusion_audio.settings import settings
from diffusion_audio.systems.sampler import SamplingConfig, guide, make_sampler

S = make_schedule("linear")
OBJECTIVE = Objective()
X = jnp.array([[1.0, 2.0], [3.0, -1.0]])
T = jnp.array([10, 900])


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_of_the_recipe(name):
    cfg = settings(SamplingConfig, get_config("tones").to_dict(), "sampling")
    solver = make_sampler(cfg.of_solver(name), S, OBJECTIVE)
    assert len(solver.stops) == cfg.steps


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": "leading"},
        {"spacing": "leading", "steps_offset": 1},
        {"spacing": "linspace", "endpoint": False},
        {"final": "first"},
        {"solver": {"name": "ddim", "eta": 1.0}},
        {"solver": {"name": "heun", "churn": 5.0}},
        {"solver": {"name": "ddpm", "variance": "beta"}},
        {"solver": {"name": "unipc", "order": 3}},
    ],
)
def test_every_option_changes_what_is_sampled(changes):
    def ends(**changes):
        cfg = SamplingConfig(steps=6, **changes)
        solver = make_sampler(cfg, S, OBJECTIVE)
        keys = jax.random.split(jax.random.key(0), 2)
        x, state = X, solver.init(X)
        for i in range(solver.evaluations):
            x, state = solver.step(
                lambda x, t: jnp.tanh(x) + t.astype(jnp.float32)[:, None] / 1000,
                x,
                state,
                jnp.int32(i),
                keys,
            )
        return np.asarray(x)

    plain = {}
    if "solver" in changes:
        plain = {"solver": {"name": changes["solver"]["name"]}}
    assert not np.allclose(ends(**changes), ends(**plain))


def test_another_solver_drops_the_options_of_the_last():
    cfg = SamplingConfig({"name": "ddim", "eta": 0.5}, steps=7, guidance=2.0)
    other = cfg.of_solver("unipc")
    assert (other.solver, other.steps, other.guidance) == ({"name": "unipc"}, 7, 2.0)
    assert cfg.of_solver("ddim") == cfg


def test_guidance_of_a_config():
    def denoise2(x, t):
        return x * jnp.array([1.0, 1.0, 0.2, 0.3])[:, None]

    def guided(**changes):
        return guide(SamplingConfig(**changes), S, denoise2, 3.0)(X, T)

    plain = guided()
    assert not np.allclose(guided(guidance_rescale=0.7), plain)
    within = guided(guidance_interval=(0.0, 1.0))  # of t = 10, not of t = 900
    np.testing.assert_allclose(within, [plain[0], X[1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": {"name": "ddimm"}}, "did you mean 'ddim'"),
        ({"solver": {"name": "unipc", "eta": 0.5}}, "the unipc solver 'eta'"),
        ({"steps": 2000}, r"integer in 1\.\.1000"),
        (
            {"solver": {"name": "ddpm", "variance": "learned_range"}},
            "loss.learned_variance",
        ),
    ],
)
def test_impossible_sampling(changes, message):
    with pytest.raises(UserError, match=message):
        make_sampler(SamplingConfig(**changes), S, OBJECTIVE)


def test_learned_variance():
    cfg = SamplingConfig({"name": "ddpm", "variance": "learned_range"})
    taught = Objective(learned_variance=True)
    assert make_sampler(cfg, S, taught).evaluations == 50
