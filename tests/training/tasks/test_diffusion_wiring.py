"""The diffusion task around parts of one line: its loss and step by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.noise import example_keys, example_noise, step_key
from diffusion_audio.diffusion.timestep_samplers import make_timestep_sampler
from diffusion_audio.diffusion.weighting import loss_weight, make_weighting
from diffusion_audio.models.vae import LEAST_LOG_VARIANCE
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.systems.objective import LikelihoodConfig
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.training import diffusion_evaluation, tasks
from diffusion_audio.training.diffusion_settings import Diffusion
from diffusion_audio.training.ema import EMAConfig
from diffusion_audio.training.prompts import ListenConfig, Prompts
from diffusion_audio.training.tasks import diffusion
from diffusion_audio.training.update import UpdateRule
from tests.recipes import tiny
from tests.toy_system import NOTHING, PARAMS, TOKENIZERS, toy_system

KEY = jax.random.key(0)
SHAPE = (2, 3, 1)


def toy_task(objective=Objective("x0"), dropout=0.0, parts=1, **changes):  # noqa: B008
    rule = UpdateRule(optax.sgd(0.1), EMAConfig(0.5, warmup=False), parts)
    return Diffusion(
        system=toy_system(objective),
        rule=rule,
        timestep_sampler=make_timestep_sampler("uniform", 4),
        condition_dropout=dropout,
        sampling=SamplingConfig(steps=2, guidance=1.0),
        listen=ListenConfig(),
        likelihood=LikelihoodConfig(),
        samples=1024,
        prompts=Prompts(TOKENIZERS, TOKENIZERS.null()),
    )


def batch(count=4):
    rng = np.random.default_rng(0)
    mean = rng.normal(2, 1, (count, *SHAPE)).astype(np.float32)
    flat = np.full_like(mean, LEAST_LOG_VARIANCE)
    return {
        "moments": np.concatenate([mean, flat], axis=-1),
        "prompt": {"number": {"number": np.arange(count, dtype=np.float32)}},
        "index": np.arange(count, dtype=np.int32),
        "share": np.linspace(0.1, 0.9, count, dtype=np.float32),
        "weight": np.linspace(0.5, 2.0, count, dtype=np.float32),
    }


def state_of(task, step=0, scale=0.25):
    state = task.rule.start(PARAMS, {"latent_scale": jnp.float32(scale)})
    return state | {"times": task.timestep_sampler.init(), "step": jnp.int32(step)}


def loss_of(task, params=PARAMS, step=0, given=None):
    return diffusion.loss(task, params, state_of(task, step), given or batch(), KEY)


def test_the_scale_of_latents_makes_their_variance_one():
    given = batch(64)
    given["moments"][..., 1] = np.log(4.0)
    state = diffusion.init(toy_task(), KEY, given, None)
    variance = given["moments"][..., 0].var() + 4.0
    np.testing.assert_allclose(
        state["frozen"]["latent_scale"], 1 / np.sqrt(variance), rtol=1e-5
    )


def test_the_loss_by_hand():
    """The denoiser says the caption's number, and x_0 is the latent at unit scale."""
    given = batch()
    mean, (metrics, _) = loss_of(toy_task())
    x0 = 0.25 * given["moments"][..., :1]
    errors = np.square(x0 - np.arange(4.0).reshape(4, 1, 1, 1)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(mean, (errors * given["weight"]).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], mean)


@pytest.mark.parametrize("step", [0, 3])
def test_the_noise_is_that_of_its_address(step):
    """A denoiser that says a half of what it sees, asked for the noise."""
    task = toy_task(Objective("epsilon"))
    params = {
        "conditioners": {"number": {"told": jnp.zeros(())}},
        "denoiser": {"x": jnp.float32(0.5)},
    }
    given, process = batch(), task.system.process
    keys = example_keys(step_key(KEY, "noise", step), given["index"])
    eps, x0 = example_noise(keys, SHAPE), 0.25 * given["moments"][..., :1]
    t = process.time(given["share"])
    alpha, sigma = (f(t)[:, None, None, None] for f in (process.alpha, process.sigma))
    errors = jnp.square(eps - 0.5 * (alpha * x0 + sigma * eps)).mean(axis=(1, 2, 3))
    expected = (errors * given["weight"]).mean()
    np.testing.assert_allclose(loss_of(task, params, step)[0], expected, rtol=1e-5)


def test_some_examples_are_trained_without_their_prompt():
    task, count = toy_task(dropout=0.25), 4000
    prompt = {"number": {"number": jnp.ones(count)}}

    def seen(step, index):
        keys = example_keys(step_key(KEY, "dropout", step), index)
        few = jax.tree.map(lambda x: x[: len(index)], prompt)
        dropped = diffusion.without_prompt(task, keys)
        left = diffusion.without_some(task, few, dropped)
        return np.asarray(left["number"]["number"])

    first = seen(0, jnp.arange(count))
    assert set(first) == {1.0, NOTHING}
    assert abs((first == NOTHING).mean() - 0.25) < 0.03
    assert (seen(1, jnp.arange(count)) != first).any()
    np.testing.assert_array_equal(seen(0, jnp.arange(10, 20)), first[10:20])


def test_dropout_reaches_the_loss_and_its_chance_is_the_configs():
    given = batch()
    never = loss_of(toy_task())[0]
    always = loss_of(toy_task(dropout=1 - 1e-7))[0]
    x0 = 0.25 * given["moments"][..., :1]
    errors = np.square(x0 - NOTHING).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(always, (errors * given["weight"]).mean(), rtol=1e-5)
    assert float(never) != float(always)
    # The address has the step in it, and examples are dropped one by one.
    half = [float(loss_of(toy_task(dropout=0.5), step=step)[0]) for step in range(8)]
    assert len(set(half)) > 3


def test_a_step_follows_the_gradient_and_averages_what_it_made():
    task = toy_task()
    given = batch()
    state = state_of(task)
    after, metrics = diffusion.step(task, diffusion.loss, state, given, KEY)
    address = step_key(KEY, "timestep", 0)
    share, weight = task.timestep_sampler.draw({}, address, given["index"])
    timed = given | {"share": share, "weight": weight}
    grads = jax.grad(lambda p: diffusion.loss(task, p, state_of(task), timed, KEY)[0])(
        PARAMS
    )
    made = jax.tree.map(lambda p, g: p - 0.1 * g, PARAMS, grads)
    jax.tree.map(np.testing.assert_allclose, after["params"], made)
    average = jax.tree.map(lambda old, new: 0.5 * old + 0.5 * new, PARAMS, made)
    jax.tree.map(np.testing.assert_allclose, after["ema"], average)
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(grads), rtol=1e-6)
    assert int(after["step"]) == 1
    assert after["frozen"] is state["frozen"]


def test_times_are_drawn_by_the_sampler_of_the_config_and_it_learns():
    times = make_timestep_sampler("importance", 4, bins=2, memory=1)
    task = dataclasses.replace(toy_task(), timestep_sampler=times)
    state, seen = state_of(task), []
    for _ in range(3):
        state, _ = diffusion.step(task, diffusion.loss, state, batch(), KEY)
        seen.append(float(state["times"]["seen"].sum()))
    assert seen[0] == 4
    assert seen[2] > 0


def test_parts_of_a_batch_make_the_same_step():
    whole, _ = diffusion.step(
        toy_task(), diffusion.loss, state_of(toy_task()), batch(), KEY
    )
    task = toy_task(parts=2)
    parts, _ = diffusion.step(task, diffusion.loss, state_of(task), batch(), KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        whole["params"],
        parts["params"],
    )


def test_an_evaluation_is_of_the_averages_at_uniform_times():
    task, given = toy_task(), batch()
    other = {
        "conditioners": {"number": {"told": jnp.float32(2.0)}},
        "denoiser": {"x": jnp.zeros(())},
    }
    state = state_of(task) | {"ema": other}
    shown = diffusion_evaluation.evaluate(
        task, diffusion.loss, state, iter([given]), KEY
    )
    x0 = 0.25 * given["moments"][..., :1]
    errors = np.square(x0 - 2 * np.arange(4.0).reshape(4, 1, 1, 1)).mean()
    assert shown.metrics["loss"] == pytest.approx(float(errors), rel=1e-5)


def test_an_evaluation_does_not_ask_the_trained_sampler_of_times():
    def never(*_):
        raise AssertionError("asked")

    task = toy_task()
    task = dataclasses.replace(
        task, timestep_sampler=task.timestep_sampler._replace(draw=never)
    )
    state = state_of(task)
    diffusion_evaluation.evaluate(task, diffusion.loss, state, iter([batch()]), KEY)


def test_one_listens_to_the_prompts_with_the_runs_own_guidance():
    prompts = Prompts(TOKENIZERS, TOKENIZERS.null(), TOKENIZERS.prompt(["1", "2"]), 2)
    task = dataclasses.replace(
        toy_task(), prompts=prompts, sampling=SamplingConfig(steps=2, guidance=3.0)
    )
    frozen = {
        "latent_scale": jnp.float32(1.0),
        "autoencoder": {"size": jnp.ones(())},
        "vocoder": {"gain": jnp.ones(())},
    }
    mels, waves = diffusion_evaluation.listen(
        task, PARAMS, frozen, prompts.listened, KEY
    )
    from diffusion_audio.audio.mel import denormalize

    for i, number in enumerate((1, 2)):
        guided = NOTHING + 3 * (number - NOTHING)
        expected = denormalize(task.system.spec, jnp.float32(guided))
        np.testing.assert_allclose(mels[i], expected, rtol=1e-4)
    assert waves.shape == (2, 1024)


def configured(**loss):
    config = resolve(tiny("diffusion", "tones"))
    config["denoiser"] |= {"in_channels": 64, "out_channels": 64}
    config["loss"] |= loss
    return tasks.TABLE["diffusion"].configure(config)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ({"prediction": "x0"}, Objective("x0")),
        ({"prediction": "epsilon"}, Objective("epsilon")),
        ({"bound_weight": 0.5}, Objective("v", bound_weight=0.5)),
    ],
)
def test_the_objective_is_the_configs(loss, expected):
    made = configured(**loss).system.objective
    for name in ("prediction", "learned_variance", "bound_weight"):
        assert getattr(made, name) == getattr(expected, name)


@pytest.mark.parametrize(
    "weighting",
    [
        {"name": "min_snr", "gamma": 2.0},
        {"name": "p2", "k": 1.0, "gamma": 1.0},
        {"name": "sigmoid", "bias": -3.0},
    ],
)
def test_the_weighting_is_the_configs(weighting):
    made = configured(weighting=weighting).system.objective.weighting
    alpha = jnp.array([0.1, 0.5, 0.9])
    levels = ("v", alpha, jnp.sqrt(1 - alpha**2))
    weights = loss_weight(made, *levels)
    np.testing.assert_allclose(
        weights, loss_weight(make_weighting(**weighting), *levels)
    )
    assert not np.allclose(weights, loss_weight(make_weighting("simple"), *levels))


def test_the_rest_of_the_loss_group_is_the_configs():
    task = configured(condition_dropout=0.3, times={"name": "stratified"})
    assert task.condition_dropout == 0.3
    index = jnp.arange(4)
    share, _ = task.timestep_sampler.draw({}, KEY, index)
    expected, _ = make_timestep_sampler("stratified", 4).draw({}, KEY, index)
    np.testing.assert_array_equal(share, expected)
