"""Every schedule and loss of the recipes trains, whatever the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.objectives import PRESETS
from diffusion_audio.cli.config import load
from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Condition
from diffusion_audio.nn.functional import Network
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.systems.conditioners import text
from diffusion_audio.systems.denoisers import unet
from diffusion_audio.training import parallel
from diffusion_audio.training.parallel import ParallelConfig
from tests.recipes import CONFIGS, tiny
from tests.tasks import make_task

SHAPE = (2, 2, 4)  # of a latent [H, W, C]


def stub_unet(cfg):
    """Two layers on the channels, the time and the condition."""
    sizes = [(cfg.in_channels + 2, 8), (8, cfg.out_channels)]

    def init(key):
        keys = jax.random.split(key, 2)
        return {
            f"w{i}": jax.random.normal(k, size)
            for i, (k, size) in enumerate(zip(keys, sizes, strict=True))
        }

    def apply(params, z, t, condition):
        time = t.astype(jnp.float32) / 1000
        extra = jnp.stack([time, condition.vector[:, 0]], axis=-1)[:, None, None]
        extra = jnp.broadcast_to(extra, (*z.shape[:-1], 2))
        h = jnp.tanh(jnp.concatenate([z, extra], axis=-1) @ params["w0"])
        return h @ params["w1"]

    return Network(init, apply)


def stub_text(cfg):
    def apply(params, tokens):
        mean = tokens.astype(jnp.float32).mean(axis=1, keepdims=True)
        return Condition(vector=params["w"] * mean)

    return Network(lambda key: {"w": jnp.ones(())}, apply)


@pytest.fixture
def stubs(monkeypatch):
    """Networks that compile in no time: what is tested is around them."""
    monkeypatch.setattr(unet, "build_unet", stub_unet)
    monkeypatch.setattr(text, "build_text", stub_text)


def config(presets="tones,epsilon", **changes):
    made = tiny("diffusion", "tones")

    ablated = load(f"{CONFIGS / 'diffusion'}.py:{presets}")
    for group in ("schedule", "loss", "likelihood"):
        setattr(made, group, ablated[group])
    if made.loss.learned_variance:
        made.denoiser.out_channels = 8
    made.data.batch_size = 8
    for name, value in changes.items():
        setattr(made.loss, name, value)
    resolved = resolve(made)
    resolved["components"] = {"autoencoder": resolve(tiny("vae", "tones"))}
    return resolved


def batch():
    rng = np.random.default_rng(0)
    return {
        "moments": rng.normal(size=(8, *SHAPE[:2], 8)).astype(np.float32),
        "prompt": {"text": {"tokens": rng.integers(0, 9, (8, 32)).astype(np.int32)}},
        "index": np.arange(8, dtype=np.int32),
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_step(preset, stubs):
    made, key = make_task(config(f"tones,epsilon,{preset}")), jax.random.key(0)
    state = jax.eval_shape(made.init, key, batch(), {"autoencoder": {}})

    def step(state, batch, key):
        return made.step(state, batch, key)

    after, metrics = jax.eval_shape(step, state, batch(), key)
    assert jax.tree.map(lambda a: a.shape, after) == jax.tree.map(
        lambda a: a.shape, state
    )
    assert set(metrics) == {"loss", "grad_norm", *(f"loss_t{i}" for i in (1, 2, 3, 4))}
    assert all(value.shape == () for value in metrics.values())


def train(layout, parts=1):
    """Eight steps whose times are drawn by importance from the second or so."""
    settings = config(times={"name": "importance", "bins": 4, "memory": 2})
    settings["train"]["accumulate"] = parts
    made, key = make_task(settings), jax.random.key(0)
    mesh = parallel.make_mesh(layout)
    placed = parallel.place_batch(batch(), mesh)
    state = jax.jit(made.init)(key, batch(), {"autoencoder": {}})
    shardings = parallel.state_shardings(state, mesh)
    state = jax.device_put(state, shardings)
    step = parallel.compile_step(made.step, mesh, layout.mode)
    for _ in range(8):
        state, metrics = step(state, placed, key)
    return jax.device_get((state, metrics))


@pytest.fixture(scope="module")
def reference():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet, "build_unet", stub_unet)
        patch.setattr(text, "build_text", stub_text)
        return train(ParallelConfig(data=1))


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        (ParallelConfig(data=4), 1),
        (ParallelConfig(mode="pmap", data=4), 1),
        (ParallelConfig(data=1), 2),
    ],
    ids=["four devices", "pmap", "two parts"],
)
def test_learned_times_do_not_depend_on_devices(layout, parts, reference, stubs):
    memory = reference[0]["times"]
    assert memory["seen"].min() > 2
    assert memory["square"].min() > 0
    same = train(layout, parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), same, reference
    )


def test_an_evaluation_measures_likelihood(stubs):
    settings, key = (
        config("tones,epsilon,learned_variance,likelihood"),
        jax.random.key(0),
    )
    settings["listen"] = {}
    settings["schedule"]["steps"] = 20
    settings["likelihood"]["ode_steps"] = 4
    made = make_task(settings)
    state = jax.jit(made.init)(key, batch(), {"autoencoder": {}})
    found = made.evaluate(state, iter([batch()]), key).metrics
    assert set(found) == {"loss", "bound_bits", "ode_bits", "ode_bits_error"}
    assert all(np.isfinite(value) for value in found.values())
    settings = config("tones,flow,likelihood")
    with pytest.raises(UserError, match="rectified_flow has none"):
        make_task(settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"predictoin": "v"}}, "did you mean 'prediction'"),
        ({"loss": {"prediction": "w"}}, "unknown prediction 'w'"),
        ({"loss": {"weighting": {"name": "min_sn"}}}, "did you mean 'min_snr'"),
        ({"loss": {"times": {"name": "strat"}}}, "unknown timestep sampler"),
        ({"loss": {"learned_variance": True}}, "config.denoiser.out_channels=8"),
        ({"loss": {"condition_dropout": 1.0}}, "condition_dropout must lie"),
        ({"schedule": {"name": "rectified_flow"}}, "epsilon does not give"),
        ({"schedule": {"name": "cosine", "beta_end": 0.1}}, "unknown option"),
        ({"likelihood": {"ode_step": 4}}, "did you mean 'ode_steps'"),
    ],
)
def test_settings_that_do_not_fit(change, message, stubs):
    with pytest.raises(UserError, match=message):
        make_task(config() | change)
