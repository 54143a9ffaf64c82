"""A past step again: its numbers to the bit, its batch, and what was drawn."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import soundfile

from diffusion_audio.cli.main import main
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.errors import UserError
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.training import run
from diffusion_audio.training.gradients import finite
from diffusion_audio.training.parallel import (
    ParallelConfig,
    make_mesh,
    place_batch,
    replicate,
)
from diffusion_audio.training.replay import replay
from diffusion_audio.training.tasks import vae
from diffusion_audio.training.update import apply_gradients
from tests.recipes import folder_of_audio, label, tiny


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of 5 steps, of which 4 and 5 are saved."""
    root = tmp_path_factory.mktemp("runs")
    run.train(tiny("vae", folder_of_audio(root / "audio"), steps=5), root / "vae")
    return root / "vae"


def logged(workdir):
    return {r["step"]: r for r in read_metrics(workdir) if r["split"] == "train"}


@pytest.mark.parametrize(("step", "start"), [(1, 0), (4, 0), (5, 4)])
def test_a_step_is_computed_again_to_the_bit(workdir, step, start):
    found = replay(workdir, step)
    assert (found.step, found.start) == (step, start)
    assert found.metrics == {n: logged(workdir)[step][n] for n in found.metrics}
    assert found.logged is not None
    assert not found.differences


def test_what_was_drawn_is_by_its_address(workdir):
    found = replay(workdir, 2)
    keys = example_keys(step_key(jax.random.key(0), "posterior", 1), np.arange(4))
    noise = example_noise(keys, found.drawn["noise"].shape[1:])
    np.testing.assert_array_equal(found.drawn["noise"], noise)
    assert found.batch["audio"].shape == (4, 8192)
    assert len(found.clips) == 4
    assert all(clip.endswith(".wav") for clip in found.clips)


def test_the_verb_says_and_writes_it(workdir, tmp_path, capsys):
    words = ["replay", f"--workdir={workdir}", "--step=5", f"--dump={tmp_path}/dump"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "step       5, from the checkpoint of step 4"
    assert f"loss       {logged(workdir)[5]['loss']!r}" in out
    assert "logged     the same, to the bit" in out
    record = json.loads((tmp_path / "dump/step.json").read_text())
    assert [line.split()[1] for line in out[-4:]] == record["clips"]
    batch = np.load(tmp_path / "dump/batch.npz")
    wave, rate = soundfile.read(tmp_path / "dump/000.wav")
    assert rate == 16_000
    np.testing.assert_allclose(wave, batch["audio"][0], atol=2**-15)
    assert np.load(tmp_path / "dump/drawn.npz")["noise"].shape[0] == 4
    (tmp_path / "dump/step.json").write_text("mine")
    assert main(words) == 2  # not written over
    assert "step.json is there and was changed" in capsys.readouterr().err


def test_a_row_that_is_of_other_numbers_is_shown(workdir, tmp_path, capsys):
    shutil.copytree(workdir, tmp_path / "run")
    path = tmp_path / "run/metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[2]["loss"] += 1.0
    del rows[2]["crc32"]  # as rows of earlier versions, which have none
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["replay", f"--workdir={tmp_path}/run", "--step=3"]) == 0
    assert (
        f"logged     loss {rows[2]['loss']!r}, which is not" in capsys.readouterr().out
    )


def test_a_damaged_checkpoint_is_passed_over(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    (tmp_path / "run/checkpoints/manifests/4.json").write_text("{}")
    found = replay(tmp_path / "run", 5)
    assert found.start == 0
    assert not found.differences
    assert (tmp_path / "run/checkpoints/steps/4").exists()  # the run is only read


@pytest.mark.parametrize("step", [6, 1000])
def test_a_step_that_was_not_taken(workdir, step):
    with pytest.raises(UserError, match=f"no step {step}; give one from 1 to 5"):
        replay(workdir, step)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        replay(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classifier", "vocoder", "diffusion"])
def test_every_task_can_be_looked_back_at(task, tmp_path):
    source = folder_of_audio(tmp_path / "audio")
    config = tiny(task, source, steps=5)
    if task == "diffusion":  # on latents that are cached
        run.train(tiny("vae", source), tmp_path / "vae")
        config.components.autoencoder = str(tmp_path / "vae")
    if task == "classifier":
        label(tmp_path / "audio", config)
    run.train(config, tmp_path / "run")
    for step in (2, 5):
        shutil.rmtree(tmp_path / "run" / "latents", ignore_errors=True)  # only a cache
        found = replay(tmp_path / "run", step)
        assert not found.differences
        assert found.logged["step"] == step
        assert not (tmp_path / "run" / "latents").exists()
    if task == "diffusion":
        assert ((found.drawn["time"] >= 0) & (found.drawn["share"] < 1)).all()
        assert found.drawn["noise"].shape == found.drawn["latents"].shape
        assert set(found.drawn["without_prompt"].tolist()) <= {True, False}


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_which_gradients_are_not_finite(mode):
    """Under the sharding of several devices, in a branch, and of parts of a state."""
    mesh = make_mesh(ParallelConfig(mode=mode, data=4))
    optimizer = optax.sgd(0.1)

    def step(state, batch, key):
        del key
        x = batch["x"].mean()
        first = {"w": x * jnp.ones(3), "b": {"c": jnp.ones(2)}}
        second = {"v": jnp.ones(2), "u": x * jnp.ones(2)}
        opt, params = state["opt"], state["params"]
        params = jax.lax.cond(
            x > jnp.inf,
            lambda: params,
            lambda: {
                "first": apply_gradients(optimizer, first, opt, params["first"])[0],
                "second": apply_gradients(optimizer, second, opt, params["second"])[0],
            },
        )
        return state | {"params": params}, {"loss": x}

    zeros = {"w": jnp.zeros(3), "b": {"c": jnp.zeros(2)}}
    params = {"first": zeros, "second": {"v": jnp.zeros(2), "u": jnp.zeros(2)}}
    state = {"params": params, "frozen": {}, "opt": optimizer.init(zeros)}
    state = replicate(state, mesh)
    batch = place_batch({"x": np.full(8, np.nan, np.float32)}, mesh)
    assert finite(step, mesh, mode, state, batch, jax.random.key(0)) == {
        "first/b/c": True,
        "first/w": False,
        "second/u": False,
        "second/v": True,
    }


def test_a_step_that_is_not_finite_is_told_where(tmp_path, capsys, monkeypatch):
    """The loss overflows within the decoder's last layer alone, at step 3."""
    source = folder_of_audio(tmp_path / "audio")
    compute = vae.loss

    def loss(task, params, state, batch, key):
        total, metrics = compute(task, params, state, batch, key)
        last = params["autoencoder"]["decoder"]["conv_out"]["bias"]
        bad = jnp.where(state["step"] == 2, jnp.inf, 0.0) * last.sum()
        return total + bad, metrics

    monkeypatch.setattr(vae, "loss", loss)
    config = f"--config={tmp_path}/vae.py"
    (tmp_path / "vae.py").write_text(
        "from tests.recipes import tiny\n"
        f"def get_config():\n    return tiny('vae', {source!r}, steps=5)\n"
    )
    assert main(["train", config, f"--workdir={tmp_path}/run"]) == 2
    words = ["replay", f"--workdir={tmp_path}/run", "--step=3"]
    assert f"`diffusion-audio {' '.join(words)}` says" in capsys.readouterr().err
    assert main([*words, f"--dump={tmp_path}/dump"]) == 0
    out = capsys.readouterr().out
    name = "autoencoder/decoder/conv_out/bias"
    (line,) = [line for line in out.splitlines() if line.startswith("gradients")]
    assert line.startswith("gradients  1 of ")
    assert line.endswith(f" not finite: {name}")
    record = json.loads((tmp_path / "dump/step.json").read_text())
    assert record["gradients_not_finite"] == [name]
    assert main(["replay", f"--workdir={tmp_path}/run", "--step=2"]) == 0
    assert "gradients" not in capsys.readouterr().out
