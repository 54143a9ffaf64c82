"""Every schedule and loss of the recipes trains, whatever the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.objectives import PRESETS
from diffusion_audio.cli.config import load
from diffusion_audio.data.tokenizer import Tokenizer
from diffusion_audio.errors import UserError
from diffusion_audio.nn.functional import Network
from diffusion_audio.training import latent_diffusion, parallel
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.run import make_task, resolve
from tests.recipes import CONFIGS, tiny

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
        extra = jnp.stack([time, condition], axis=-1)[:, None, None]
        extra = jnp.broadcast_to(extra, (*z.shape[:-1], 2))
        h = jnp.tanh(jnp.concatenate([z, extra], axis=-1) @ params["w0"])
        return h @ params["w1"]

    return Network(init, apply)


def stub_text(cfg):
    def apply(params, tokens):
        return params["w"] * tokens.astype(jnp.float32).mean(axis=1)

    return Network(lambda key: {"w": jnp.ones(())}, apply)


@pytest.fixture
def stubs(monkeypatch):
    """Networks that compile in no time: what is tested is around them."""
    monkeypatch.setattr(latent_diffusion, "build_unet", stub_unet)
    monkeypatch.setattr(latent_diffusion, "build_text", stub_text)


def config(presets="tones", **changes):
    made = tiny("diffusion", "tones")

    ablated = load(f"{CONFIGS / 'diffusion'}.py:{presets}")
    made.schedule, made.loss = ablated.schedule, ablated.loss
    if made.loss.learned_variance:
        made.unet.out_channels = 8
    made.data.batch_size = 8
    for name, value in changes.items():
        setattr(made.loss, name, value)
    resolved = resolve(made)
    resolved["components"] = {"vae": resolve(tiny("vae", "tones"))}
    return resolved


def train(settings, steps=3, layout=None):
    tokenizer = Tokenizer.train(["a tone"], size=300, max_tokens=32)
    task = make_task(settings, tokenizer)
    layout = layout or ParallelConfig(data=1)
    mesh = parallel.make_mesh(layout)
    rng = np.random.default_rng(0)
    batch = {
        "moments": rng.normal(size=(8, *SHAPE[:2], 8)).astype(np.float32),
        "tokens": rng.integers(0, 9, (8, 32)).astype(np.int32),
        "index": np.arange(8, dtype=np.int32),
    }
    placed = parallel.place_batch(batch, mesh)
    key = jax.random.key(0)
    frozen = {"vae": {}}
    shapes = jax.eval_shape(task.init, key, placed, frozen)
    shardings = parallel.state_shardings(shapes, mesh)
    state = jax.jit(task.init, out_shardings=shardings)(key, placed, frozen)
    step = parallel.compile_step(task.step, mesh, layout.mode)
    for _ in range(steps):
        state, metrics = step(state, placed, key)
    return jax.device_get((state, metrics))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains(preset, stubs):
    state, metrics = train(config(f"tones,{preset}"))
    assert state["step"] == 3
    assert all(np.isfinite(value) for value in metrics.values())
    assert set(metrics) == {"loss", "grad_norm", *(f"loss_t{i}" for i in (1, 2, 3, 4))}


@pytest.mark.parametrize("times", ["stratified", "importance"])
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_draws_of_time_do_not_depend_on_devices(mode, times, stubs):
    # A memory of two losses in four bins: importance is in use after a few steps.
    options = {"bins": 4, "memory": 2} if times == "importance" else {}
    settings = config(times={"name": times, **options})
    one = train(settings, steps=8)
    many = train(settings, steps=8, layout=ParallelConfig(mode=mode, data=4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), many, one)
    if times == "importance":
        assert one[0]["times"]["seen"].min() > 2
        assert one[0]["times"]["square"].min() > 0


def test_accumulated_parts_are_the_whole(stubs):
    settings = config(times={"name": "importance", "bins": 2, "memory": 1})
    whole = train(settings)
    settings["train"]["accumulate"] = 2
    parts = train(settings)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), parts, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"predictoin": "v"}}, "did you mean 'prediction'"),
        ({"loss": {"prediction": "w"}}, "unknown prediction 'w'"),
        ({"loss": {"weighting": {"name": "min_sn"}}}, "did you mean 'min_snr'"),
        ({"loss": {"times": {"name": "strat"}}}, "unknown time sampling"),
        ({"loss": {"learned_variance": True}}, "config.unet.out_channels=8"),
        ({"loss": {"condition_dropout": 1.0}}, "condition_dropout must lie"),
        ({"schedule": {"name": "rectified_flow"}}, "epsilon says nothing"),
        ({"schedule": {"name": "cosine", "beta_end": 0.1}}, "unknown option"),
    ],
)
def test_settings_that_do_not_fit(change, message, stubs):
    with pytest.raises(UserError, match=message):
        make_task(config() | change, Tokenizer.train(["a"], size=300, max_tokens=32))
