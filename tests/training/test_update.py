"""The rule of updates: averages, optimiser and parts, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffusion_audio.training.ema import EMAConfig
from diffusion_audio.training.optimizer import OptimizerConfig, learning_rate
from diffusion_audio.training.update import UpdateRule, accumulated, update_rule

PARAMS = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([0.5])}
GRADS = {"kernel": jnp.array([[0.3, 0.1]]), "bias": jnp.array([-0.2])}


def three_updates(average):
    """The parameters after each of three steps down, and the averages."""
    rule = UpdateRule(optax.sgd(1.0), average)
    state = rule.start(PARAMS)
    seen = [state["params"]["bias"]]
    for _ in range(3):
        state = rule.update(state, GRADS)
        seen.append(state["params"]["bias"])
    return [float(value[0]) for value in seen], state


def test_averages_are_of_the_new_parameters():
    seen, state = three_updates(EMAConfig(0.9, warmup=False))
    expected = seen[0]
    for value in seen[1:]:
        expected = 0.9 * expected + 0.1 * value
    np.testing.assert_allclose(state["ema"]["bias"], expected, rtol=1e-6)
    assert seen == pytest.approx([0.5, 0.7, 0.9, 1.1])
    assert int(state["step"]) == 3


def test_the_decay_of_averages_rises_from_a_tenth():
    """(1 + n) / (10 + n) after n updates, up to the decay: 1/10, 2/11, then 0.15."""
    seen, state = three_updates(EMAConfig(0.15))
    expected = seen[0]
    for value, decay in zip(seen[1:], (1 / 10, 0.15, 0.15), strict=True):
        expected = decay * expected + (1 - decay) * value
    np.testing.assert_allclose(state["ema"]["bias"], expected, rtol=1e-6)


def test_no_average_is_kept_where_it_is_off():
    assert three_updates(EMAConfig(0.0))[1]["ema"] == {}


def config(**optimizer):
    group = {"learning_rate": 0.1, "warmup_steps": 0, **optimizer}
    return {
        "optimizer": group,
        "ema": {"decay": 0.75},
        "train": {"steps": 10, "accumulate": 2},
    }


def test_the_groups_of_a_config_are_the_rule():
    rule = update_rule(config())
    assert rule.average == EMAConfig(0.75)
    assert rule.parts == 2


def first_update(**optimizer):
    rule = update_rule(config(**optimizer))
    state = rule.update(rule.start(PARAMS), GRADS)
    return jax.tree.map(lambda new, old: new - old, state["params"], PARAMS)


def adam(grad, b1=0.9, b2=0.999, eps=1e-8, rate=0.1):
    """Adam's first update, its moments corrected for their start."""
    m, v = (1 - b1) * grad / (1 - b1), (1 - b2) * grad**2 / (1 - b2)
    return -rate * m / (np.sqrt(v) + eps)


def test_the_first_update_is_adams():
    moved = first_update(eps=0.05)
    np.testing.assert_allclose(moved["bias"], adam(-0.2, eps=0.05), rtol=1e-5)
    np.testing.assert_allclose(
        moved["kernel"][0], adam(np.array([0.3, 0.1]), eps=0.05), rtol=1e-5
    )


def test_weights_decay_and_biases_do_not_unless_told():
    plain, decayed = first_update(), first_update(weight_decay=0.5)
    shift = decayed["kernel"] - plain["kernel"]
    np.testing.assert_allclose(shift, -0.1 * 0.5 * PARAMS["kernel"], rtol=1e-4)
    np.testing.assert_array_equal(decayed["bias"], plain["bias"])
    both = first_update(weight_decay=0.5, decay_biases=True)
    np.testing.assert_allclose(
        both["bias"] - plain["bias"], -0.1 * 0.5 * 0.5, rtol=1e-4
    )


def test_gradients_are_clipped_before_adam_sees_them():
    """Adam forgets a scale but for its eps, which here is not small."""
    norm = float(optax.tree.norm(GRADS))
    clipped = first_update(clip_norm=0.01, eps=0.05)
    np.testing.assert_allclose(
        clipped["bias"], adam(-0.2 * 0.01 / norm, eps=0.05), rtol=1e-4
    )
    np.testing.assert_allclose(
        first_update(clip_norm=10.0)["bias"], first_update()["bias"]
    )


def test_moments_have_decays_of_their_own():
    rule = update_rule(config(b1=0.5, b2=0.9))
    state = rule.start(PARAMS)
    for scale in (1.0, -2.0):
        state = rule.update(state, jax.tree.map(lambda g, s=scale: s * g, GRADS))
    g = np.array([-0.2, 0.4])
    m = (0.5 * 0.5 * g[0] + 0.5 * g[1]) / (1 - 0.5**2)
    v = (0.9 * 0.1 * g[0] ** 2 + 0.1 * g[1] ** 2) / (1 - 0.9**2)
    moved = adam(g[0]) - 0.1 * m / np.sqrt(v)
    np.testing.assert_allclose(state["params"]["bias"][0] - 0.5, moved, rtol=1e-4)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("constant", [0.25, 0.5, 1.0, 1.0, 1.0]),
        ("cosine", [0.25, 0.5, 1.0, 0.5 * (1 + np.cos(np.pi * 3 / 6)), 0.0]),
        ("exponential", [0.25, 0.5, 1.0, 0.9**3, 0.9**6]),
    ],
)
def test_the_learning_rate_rises_and_falls(decay, expected):
    cfg = OptimizerConfig(1.0, warmup_steps=4, decay=decay, decay_rate=0.9)
    rate = learning_rate(cfg, 10)
    found = [float(rate(n)) for n in (0, 1, 4, 7, 10)]
    if decay != "constant":
        assert found[:3] == pytest.approx([0.25, 0.4375, 1.0])
    assert found[2:] == pytest.approx(expected[2:], abs=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(parts):
    def loss(params, state, batch, key):
        del key
        error = batch["x"] * params["w"] + state["shift"] * batch["index"]
        return jnp.square(error).mean(), {"loss": jnp.square(error).mean()}

    batch = {"x": jnp.arange(4.0), "index": jnp.arange(4.0)}
    params, state = {"w": jnp.float32(2.0)}, {"shift": jnp.float32(0.5)}
    gradient = accumulated(jax.grad(loss, has_aux=True), parts)
    grads, metrics = gradient(params, state, batch, jax.random.key(0))
    x = np.arange(4.0)
    np.testing.assert_allclose(grads["w"], (2 * x * 2.5 * x).mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], np.square(2.5 * x).mean(), rtol=1e-6)
